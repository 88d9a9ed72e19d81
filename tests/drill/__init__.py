"""The drill: kills, writers, disks, damage, names and bad inputs, for real. `make drill` runs it, `make test` does not."""
