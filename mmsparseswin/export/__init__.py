"""Write models as files of other runtimes, and prove that these compute the same."""
