"""The Dyck languages: balanced brackets of several types, nested to a bounded depth."""
