"""Bodies as small programs print them; see README.md beside this file."""

from __future__ import annotations

from typing import Any

TIME = "2025-01-15T16:51:23Z"
LATER = "2025-01-15T16:56:23Z"
_HUB = b'"num_channels":4,"num_actuators":2,"is_ac":0'
_MAC = b'"mac_addr":"7C:9E:BD:11:22:33"'


def _info(
    hub: bytes = b'"version":"5.1.2"', wifi: bytes = b'"strength":"-41"', end: bytes = b',"error":"success"}'
) -> bytes:
    return b'{"hub":{' + _HUB + b"," + hub + b'},"wifi":{' + wifi + b"," + _MAC + b"}" + end


REPLIES: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "bare nan": (
        "ESP32 sketch, printf of a float whose ADC read failed",
        _info(b'"batt_v":nan'),
        {"battery_volts": None},
    ),
    "minus nan": ("ESP8266 with newlib: the sign of 0/0", _info(b'"batt_v":-nan'), {"battery_volts": None}),
    "inf": ("Arduino, division by a reference of 0 V", _info(b'"batt_v":inf'), {"battery_volts": None}),
    "ovf": ("Arduino's Print for a float beyond 4294967040", _info(b'"batt_v":ovf'), {"battery_volts": None}),
    "nothing printed": (
        "newlib-nano without float support prints nothing for %f",
        _info(b'"batt_v":'),
        {"battery_volts": None},
    ),
    "literal format": ("the same for %lld: the letters are printed", _info(b'"first_boot":ld'), {"first_boot": None}),
    "1.#QNAN": ("a simulator of a vendor, on Windows", _info(b'"batt_v":1.#QNAN'), {"battery_volts": None}),
    "NaN in JSON of Python": (
        "a gateway in Python, json.dumps of nan",
        _info(b'"batt_v":NaN'),
        {"battery_volts": None},
    ),
    "number too large": (
        "a counter that ran over",
        _info(b'"batt_v":1e999,"error_message":' + b"9" * 30),
        {"battery_volts": None, "error_code": None},
    ),
    "text for a number": (
        'Shelly gen 1: a sensor that is off is "--"',
        _info(b'"batt_v":"--"'),
        {"battery_volts": None},
    ),
    "number in text with unit": (
        "Tasmota's log line in a field",
        _info(b'"batt_v":"9.2 V"', b'"strength":"-41 dBm"'),
        {"battery_volts": 9.2, "wifi.rssi": -41},
    ),
    "millivolts": ("the same in the other unit", _info(b'"batt_v":"9200mV"'), {"battery_volts": 9.2}),
    "decimal comma": (
        "a sketch that replaces the point for its locale",
        _info(b'"batt_v":9,25'),
        {"battery_volts": 9.25},
    ),
    "leading zeros": (
        "printf with %02d",
        _info(b'"error_message":00', b'"chan":06'),
        {"error_code": 0, "wifi.channel": 6},
    ),
    "hexadecimal code": ("printf with 0x%02X", _info(b'"error_message":0x1F'), {"error_code": 31}),
    "version as a number": (
        "ESPHome-like: 5.1 without quotes, which may be 5.10",
        _info(b'"version":5.1'),
        {"firmware": None},
    ),
    "version without quotes": ("printf with %d.%d.%d", _info(b'"version":5.1.2'), {"firmware": "5.1.2"}),
    "words for flags": (
        "a YAML-minded firmware",
        _info(b'"first_boot":no,"has_sd":"on","on_ap":False'),
        {"first_boot": False, "has_sd": True, "on_access_point": False},
    ),
    "object for text": (
        "Shelly gen 2 nests what gen 1 had flat",
        _info(b'"version":{"app":"5.1.2"}'),
        {"firmware": None},
    ),
    "null pointer": ("printf of %s with NULL", _info(b'"version":(null)'), {"firmware": None}),
    "SSID in Latin-1": (
        "ESP8266: the SSID is 32 raw bytes",
        _info(wifi=b'"ssid":"caf\xe9","strength":"-41"'),
        {"wifi.ssid": "caf\ufffd", "wifi.rssi": -41},
    ),
    "SSID with a tab": (
        "an access point whose name has a control character",
        _info(wifi=b'"ssid":"two\tparts","strength":"-41"'),
        {"wifi.ssid": "two\tparts"},
    ),
    "SSID padded with NUL": (
        "printf of the whole char[32]",
        _info(wifi=b'"ssid":"Shed' + b"\0" * 28 + b'","strength":"-41"'),
        {"wifi.ssid": "Shed", "wifi.rssi": -41},
    ),
    "SSID with quotes": (
        "WLED-like: a name in quotes, not escaped",
        _info(wifi=b'"ssid":"My "Home" Net","strength":"-41"'),
        {"wifi.ssid": 'My "Home" Net', "wifi.rssi": -41},
    ),
    "SSID with a quote and a comma": (
        "the same",
        _info(wifi=b'"ssid":"5", or so","strength":"-41"'),
        {"wifi.ssid": '5", or so', "wifi.rssi": -41},
    ),
    "SSID with a backslash": (
        "not escaped either",
        _info(wifi=b'"ssid":"shed\\","strength":"-41"'),
        {"wifi.ssid": "shed\\", "wifi.rssi": -41},
    ),
    "half an emoji": (
        "a name cut at 32 bytes",
        _info(wifi=b'"ssid":"tom \xf0\x9f\x8d","strength":"-41"'),
        {"wifi.ssid": "tom \ufffd"},
    ),
    "wifi as null fields": (
        "a hub on its own access point",
        _info(wifi=b'"ssid":null,"strength":null,"chan":""'),
        {"wifi.rssi": None},
    ),
    "NUL behind": ("ESP8266 sends strlen + 1 bytes", _info() + b"\0", {"firmware": "5.1.2"}),
    "old buffer behind a NUL": ("sends sizeof(buffer)", _info() + b'\0ssid":"GardenNet"}}', {"firmware": "5.1.2"}),
    "line break and OK behind": ("a serial habit", _info() + b"\r\nOK\r\n", {"firmware": "5.1.2"}),
    "trailing commas": (
        "a loop that prints the comma behind each",
        _info().replace(b"}", b",}"),
        {"firmware": "5.1.2"},
    ),
    "leading commas": ("a loop that prints it before each", _info().replace(b"{", b"{,"), {"firmware": "5.1.2"}),
    "comma missing": (
        "two parts printed by two functions",
        _info().replace(b'},"wifi"', b'}"wifi"'),
        {"firmware": "5.1.2"},
    ),
    "last brace missing": ("a forgotten letter", _info()[:-1], {"firmware": "5.1.2"}),
    "inner brace missing": (
        "a forgotten letter",
        _info(end=b',"error":"success"}').replace(b'33"}', b'33"'),
        {"firmware": "5.1.2"},
    ),
    "brace too many": ("a forgotten letter too many", _info() + b"}", {"firmware": "5.1.2"}),
    "single quotes": ("str() of a Python dict on a gateway", _info().replace(b'"', b"'"), {"firmware": "5.1.2"}),
    "keys without quotes": (
        "JavaScript's way, on a gateway",
        b"{hub:{version:'5.1.2',num_channels:4},wifi:{" + _MAC.replace(b'"mac_addr"', b"mac_addr") + b"}}",
        {"firmware": "5.1.2", "num_sensors": 4},
    ),
    "quotes escaped": (
        "a raw string that was escaped all the same",
        _info().replace(b'"', b'\\"'),
        {"firmware": "5.1.2"},
    ),
    "an object in a text": ("encoded twice", b'"' + _info().replace(b'"', b'\\"') + b'"', {"firmware": "5.1.2"}),
    "mark of UTF-8": ("a file edited on Windows", b"\xef\xbb\xbf" + _info(b'"batt_v":nan'), {"battery_volts": None}),
    "UTF-16": ("a .NET gateway", _info().decode().encode("utf-16"), {"firmware": "5.1.2"}),
    "UTF-16 without a mark": ("the same", _info().decode().encode("utf-16-le"), {"firmware": "5.1.2"}),
    "counts in text": (
        "everything is %s",
        _info().replace(b":4,", b':"4",').replace(b":2,", b':"2",'),
        {"num_sensors": 4, "num_actuators": 2},
    ),
    "count that is none": (
        "a table that was not filled",
        _info().replace(b'num_channels":4', b'num_channels":255555'),
        {"num_sensors": None, "num_actuators": 2},
    ),
}
"""Name -> (provenance, body, fields of HubInfo by path)."""

SETS: dict[str, tuple[str, bytes, str | None]] = {
    "refusal with nan": (
        "ESP32: the current of a valve that draws none",
        b'{"error":"valve fault","cur_ma":nan}',
        "valve fault",
    ),
    "refusal in Latin-1": (
        "the name of the valve is the user's",
        b'{"error":"V\xe9g\xe9 fault"}',
        "V\ufffdg\ufffd fault",
    ),
    "refusal with NUL": ("strlen + 1", b'{"error":"valve fault"}\0', "valve fault"),
    "refusal in a list": ("a batch of one", b'[{"error":"valve fault"}]', "valve fault"),
    "refusal in UTF-16": ("a .NET gateway", '{"error":"valve fault"}'.encode("utf-16"), "valve fault"),
    "refusal without quotes": ("%s without its quotes", b"{error:valve fault}", "valve fault"),
    "refusal of a flag": ("Shelly-like", b'{"success":false}', "success: false"),
    "refusal by number": ("printf with %d", b'{"error":-3,}', "error -3"),
    "refusal, nested": ("JSON-RPC-like", b'{"error":{"code":-103,"message":"valve fault"}}', "valve fault"),
    "success in capitals": ("Tasmota-like", b'{"error":"SUCCESS"}', ""),
    "ok": ("WLED says success:true, others ok", b'{"error":"OK"}', ""),
    "no error": ("strerror(0)", b'{"error":"No error"}', ""),
    "none": ("str(None)", b"{'error':None}", ""),
    "zero in text": ("%s of a number", b'{"error":"0"}', ""),
    "zero in hex": ("0x%02X", b'{"error":0x00}', ""),
    "success with nan": ("the current again", b'{"error":"success","cur_ma":nan}', ""),
    "empty": ("no body at all", b"", ""),
    "plain text": ("a serial habit", b"OK\r\n", ""),
    "cut in the word": ("a buffer that was too small", b'{"error":"valve fau', None),
    "cut before the word": ("the same", b'{"error":', None),
    "two documents": ("two answers in one", b'{"error":"success"}{"error":"valve fault"}', None),
    "only a mark and noise": ("a broken transfer", b"\xff\xfe\x00\xd8", None),
}
"""Name -> (provenance, body, the hub's word: "" for consent, None for what cannot be read)."""


def _push(
    *samples: bytes, slot: bytes = b"1", more: bytes = b"", start: bytes = b'{"api_key":"","mac":"7C9EBD112233",'
) -> bytes:
    one = b'{"slot":' + slot + b',"samples":[' + b",".join(samples) + b"]}"
    two = b'{"slot":2,"samples":[{"v":1.25,"t":"' + TIME.encode() + b'"}]}'
    return start + b'"sensors":[' + one + b"," + two + b"]" + more + b"}"


def _sample(value: bytes = b"1.5", time: bytes = b'"' + TIME.encode() + b'"') -> bytes:
    return b'{"v":' + value + b',"t":' + time + b"}"


PUSHES: dict[str, tuple[str, bytes, list[float]]] = {
    "bare nan": ("ESP32: an input whose sensor was unplugged", _push(_sample(b"nan"), _sample()), [1.5]),
    "minus nan": ("ESP8266", _push(_sample(b"-nan"), _sample()), [1.5]),
    "infinity": ("printf", _push(_sample(b"inf"), _sample(b"-Infinity"), _sample()), [1.5]),
    "nothing": ("newlib-nano", _push(_sample(b""), _sample()), [1.5]),
    "null": ("ArduinoJson writes NaN as null", _push(_sample(b"null"), _sample()), [1.5]),
    "dashes": ("Shelly", _push(_sample(b'"--"'), _sample()), [1.5]),
    "number in text": ("everything is %s", _push(_sample(b'"1.5"')), [1.5]),
    "number with unit": ("Tasmota", _push(_sample(b'"1500 mV"')), [1.5]),
    "decimal comma": ("a locale", _push(_sample(b"1,5")), [1.5]),
    "5,000 digits": ("a counter gone wild", _push(_sample(b"1" * 5000), _sample()), [1.5]),
    "no time": ("a hub that never reached NTP", _push(_sample(time=b"null"), _sample(b"2.5", b"null")), [1.5, 2.5]),
    "time missing": ("an older firmware", _push(b'{"v":1.5}', b'{"v":2.5}'), [1.5, 2.5]),
    "time in 1970": (
        "a hub that never reached NTP",
        _push(_sample(time=b'"1970-01-01T00:00:09Z"'), _sample(b"2.5", b'"1970-01-01T00:00:09Z"')),
        [1.5, 2.5],
    ),
    "NTP's overflow": (
        "ESP8266 core: an empty NTP packet is 2036-02-07",
        _push(_sample(time=b'"2036-02-07T06:28:16Z"'), _sample(b"2.5")),
        [1.5, 2.5],
    ),
    "epoch": ("time(NULL)", _push(_sample(time=b"1736959883"), _sample(b"2.5", b"1736960183")), [1.5, 2.5]),
    "epoch out of order": (
        "a ring buffer printed from its start",
        _push(_sample(b"2.5", b"1736960183"), _sample(time=b"1736959883")),
        [1.5, 2.5],
    ),
    "epoch in text": ("%ld in quotes", _push(_sample(time=b'"1736959883"')), [1.5]),
    "milliseconds": ("JavaScript", _push(_sample(time=b"1736959883000")), [1.5]),
    "unpadded": (
        "printf with %d",
        _push(_sample(time=b'"2025-1-15T16:51:3Z"'), _sample(b"2.5", b'"2025-1-15T16:51:13Z"')),
        [1.5, 2.5],
    ),
    "ctime": ("asctime(), its line break included", _push(_sample(time=b'"Wed Jan 15 16:51:23 2025\n"')), [1.5]),
    "time that is no time": (
        "%s of a pointer",
        _push(_sample(time=b'"\x01\x02"'), _sample(b"2.5", b"{}"), _sample(b"3.5", b"true")),
        [1.5, 2.5, 3.5],
    ),
    "slot in text": ("everything is %s", _push(_sample(), slot=b'"1"'), [1.5]),
    "MAC that is none": (
        "a board whose EEPROM was erased",
        _push(_sample(), start=b'{"mac":"FF:FF:FF:FF:FF:FF",'),
        [1.5],
    ),
    "MAC that is odd": ("the same, printed with %d", _push(_sample(), start=b'{"mac":255255255,'), [1.5]),
    "fields of other types": (
        "ESPHome-like",
        _push(_sample(), more=b',"wifi_str":"-27 dBm","send_time":"nan","error_code":[],"voltage":"9.3V"'),
        [1.5],
    ),
    "name in Latin-1": ("ESP8266: the name is raw bytes", _push(_sample(), more=b',"name":"H\xfctte"'), [1.5]),
    "name with quotes": ("not escaped", _push(_sample(), more=b',"name":"The "old" shed"'), [1.5]),
    "trailing commas": ("a loop", _push(_sample(), more=b",").replace(b"]}", b",],}"), [1.5]),
    "comma missing": (
        "a loop that prints none between objects",
        _push(_sample(), _sample(b"2.5", b'"' + LATER.encode() + b'"')).replace(b"},{", b"}{"),
        [1.5, 2.5],
    ),
    "bracket missing": ("a forgotten letter", _push(_sample()).replace(b'"}]},{', b'"}},{', 1), [1.5]),
    "last brace missing": ("a forgotten letter", _push(_sample(), more=b',"wifi_str":-27')[:-1], [1.5]),
    "NUL behind": ("strlen + 1", _push(_sample()) + b"\0", [1.5]),
    "UTF-16": ("a .NET gateway", _push(_sample()).decode().encode("utf-16"), [1.5]),
    "single quotes": ("str() of a Python dict", _push(_sample()).replace(b'"', b"'"), [1.5]),
    "one object for the list": (
        "a firmware with a single sample",
        b'{"mac":"7C9EBD112233","sensors":[{"slot":1,"samples":'
        + _sample()
        + b'},{"slot":2,"samples":'
        + _sample(b"1.25")
        + b"}]}",
        [1.5],
    ),
    "old firmware with nan": (
        "gen 1",
        b'{"key":"shed","updates":[{"created_at":"2025-6-17 13:26:55","field1":1.5,"field2":1.25,"field3":nan}]}',
        [1.5],
    ),
    "old firmware, epoch": (
        "gen 1",
        b'{"key":"shed","updates":[{"created_at":1736959883,"field1":1.5,"field2":1.25}]}',
        [1.5],
    ),
}
"""Name -> (provenance, body, the values of slot 1 in their order); slot 2 has 1.25 in each."""

PUSHES_REFUSED: dict[str, tuple[str, bytes]] = {
    "cut in the middle": (
        "a buffer that was too small: what is behind the cut would be acknowledged",
        _push(_sample())[:-30],
    ),
    "two documents": ("two pushes in one: the second would be acknowledged", _push(_sample()) * 2),
    "not JSON": ("a form", b"mac=7C9EBD112233&v=1.5"),
    "nested without end": ("an attack", b'{"sensors":' + b"[" * 100_000),
}
"""Name -> (provenance, body)."""
