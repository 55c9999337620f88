"""What lives as long as the process: state, reload, probes, operator commands."""
