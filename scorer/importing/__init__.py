"""Read the challenge formats of other platforms, and write a challenge's folder.

Values and files in, a folder out: no database, no web, no clock. A bundle is untrusted: its archives are
unpacked within limits, its YAML and JSON are plain values, and its code runs in the sandbox alone.
"""
