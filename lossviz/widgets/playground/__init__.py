"""The playground: declared losses compared on one page, by numbers that the page computes."""
