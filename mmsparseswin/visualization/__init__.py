"""Pictures and pages for people: data sets, runs, mistakes."""
