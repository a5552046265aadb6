#!/bin/sh
# An editor: what is to change stands in EDIT.
sed -i "$EDIT" "$1"
