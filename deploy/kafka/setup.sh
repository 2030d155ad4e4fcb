#!/bin/sh
# Copies the jars of the real Apache Kafka into <repo>/.starbridge/kafka/<version>/libs, once; STARBRIDGE_CACHE names
# another folder than <repo>/.starbridge.
# Needs Java and Maven on the first run only; a later run touches neither network nor disk. Prints the folder.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
repo=$(CDPATH='' cd -- "$here/../.." && pwd)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
target="${STARBRIDGE_CACHE:-$repo/.starbridge}/kafka/$version"

if [ -d "$target/libs" ]; then
    echo "$target"
    exit 0
fi

command -v mvn >/dev/null 2>&1 || { echo "deploy/kafka/setup.sh: mvn is missing (Debian package: maven)" >&2; exit 1; }

mkdir -p "$target"
scratch=$(mktemp -d "$target/libs.XXXXXX")
trap 'rm -rf "$scratch"' EXIT INT TERM

# The build output goes to the scratch folder too: nothing is written beside pom.xml.
mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$scratch/libs" >&2
cp "$here/pom.xml" "$scratch/libs/pom.xml"

# A rename is the last step, so that a half-filled folder is never taken for a whole one.
if ! mv -T "$scratch/libs" "$target/libs" 2>/dev/null && [ ! -d "$target/libs" ]; then
    echo "deploy/kafka/setup.sh: cannot move the jars to $target/libs" >&2
    exit 1
fi
echo "$target"
