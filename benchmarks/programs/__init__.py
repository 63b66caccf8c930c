"""What runs in processes of its own: hubs, and contestants in either environment.

A contestant's process has the packages of its environment first and this checkout last, so that in the environment of
the published client ``import vegehub`` finds that one.
"""
