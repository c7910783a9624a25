"""Classes: rosters, codes and grades of a course."""
