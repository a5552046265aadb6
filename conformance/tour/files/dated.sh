#!/bin/sh
# Puts a word where helm prints a time.
sed -E \
  -e 's/modifiedAt=[0-9]+/modifiedAt=TIME/' \
  -e 's/[A-Z][a-z]{2} [A-Z][a-z]{2} +[0-9]+ [0-9:]+ 20[0-9]{2}/TIME/g' \
  -e 's/20[0-9]{2}-[0-9]{2}-[0-9]{2}[ T][0-9:.]+ ?(Z|[+-][0-9:]+)?( UTC)? */TIME/g'
