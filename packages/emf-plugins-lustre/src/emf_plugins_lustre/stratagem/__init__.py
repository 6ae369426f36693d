"""Stratagem: scans, their lists of FIDs, and what is done with the files they found."""
