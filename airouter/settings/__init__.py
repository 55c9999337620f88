"""The configuration: its schema, and how it is read from the environment and a YAML file."""
