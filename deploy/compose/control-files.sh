#!/bin/sh
# Makes, once, what the control plane and starctl need, in the folder given: an authority with one certificate, the key
# that signs tokens, and the credential of the first administrator. Whoever can read the folder is an administrator.
set -eu
umask 077
cd "$1"
[ ! -e bootstrap ] || exit 0

request() { # NAME FILE: a new key and a request to certify it.
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$2-key.pem" -out "$2.csr"
}
certify() { # FILE EXTENSIONS OPTIONS…: signs a request.
  file=$1 extensions=$2
  shift 2
  printf '%s\n' "$extensions" >extensions
  openssl x509 -req -in "$file.csr" -days 825 -extfile extensions -out "$file.pem" "$@"
  rm extensions "$file.csr"
}

request 'starbridge compose authority' ca
certify ca 'basicConstraints=critical,CA:true
keyUsage=critical,keyCertSign' -signkey ca-key.pem
request control control
certify control 'basicConstraints=CA:false
subjectAltName=DNS:control,DNS:localhost,IP:127.0.0.1
extendedKeyUsage=serverAuth' -CA ca.pem -CAkey ca-key.pem -set_serial 1
# Nothing else is to be certified.
rm ca-key.pem
openssl genpkey -algorithm ed25519 -out signing-key.pem
# Last: it says that everything is there.
credential=$(openssl rand -hex 32)
printf 'sbb1.%s\n' "$credential" >bootstrap.new
[ "$(id -u)" != 0 ] || chown -R 10001:10001 .
mv bootstrap.new bootstrap
