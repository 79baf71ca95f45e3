"""The tasks that ship with cellbench, one TOML file each; see `cellbench.catalog`."""
