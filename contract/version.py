"""The version of Anju. The packaging reads it here, so that no process has to look through what is installed."""

VERSION = "0.1.0"
