#!/bin/sh
# What a loader would find in the library; a listener treats no file by itself.
set -eu
cd "$(dirname "$0")"
mfdata-plugin inspect ./@NAME@.so
mfdata-plugin inspect ./@NAME@.so | grep -q '^component  *listener main'
