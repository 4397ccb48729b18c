"""What the chapters of the book run: data, small models, their training, and claims about them.

Written for the book and kept as readable as it: names and results may change between versions.
"""
