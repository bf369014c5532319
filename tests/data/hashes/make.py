"""Writes the exports beside this file: hashes of the password below, made by the libraries that the products use.

    python3 -m venv venv && venv/bin/pip install passlib django werkzeug argon2-cffi 'bcrypt<4.1'
    venv/bin/python make.py

What has no library in Python (Keycloak, ASP.NET Identity, Magento, Better Auth, Kratos) is written from the parts that hashlib and
argon2-cffi make, in the form that the product documents. Salts are random: a run changes every hash.
"""

import base64
import csv
import hashlib
import json
import os
import struct
from pathlib import Path

import bcrypt
import django
from argon2.low_level import Type, hash_secret, hash_secret_raw
from django.conf import settings
from passlib.hash import apr_md5_crypt, ldap_pbkdf2_sha256, ldap_pbkdf2_sha512, ldap_salted_sha1, pbkdf2_sha1, pbkdf2_sha256, pbkdf2_sha512, phpass, sha512_crypt
from werkzeug.security import generate_password_hash

PASSWORD = "pässword 0042"
SECRET = PASSWORD.encode()
HERE = Path(__file__).parent

settings.configure(PASSWORD_HASHERS=[f"django.contrib.auth.hashers.{name}" for name in (
    "PBKDF2PasswordHasher", "Argon2PasswordHasher", "ScryptPasswordHasher", "BCryptPasswordHasher", "BCryptSHA256PasswordHasher", "MD5PasswordHasher")])
django.setup()

from django.contrib.auth.hashers import make_password  # noqa: E402


def b64(data, padded=True):
    text = base64.b64encode(data).decode()
    return text if padded else text.rstrip("=")


def write(name, text):
    (HERE / name).write_text(text, encoding="utf-8")


def write_json(name, value):
    write(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_csv(name, header, rows, delimiter=","):
    with open(HERE / name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)


def bcrypt_hash(prefix, cost):
    text = bcrypt.hashpw(SECRET, bcrypt.gensalt(cost, prefix=b"2b")).decode()
    return f"${prefix}$" + text[4:]


def argon2id(memory, passes, lanes, kind=Type.ID):
    return hash_secret(SECRET, os.urandom(16), time_cost=passes, memory_cost=memory, parallelism=lanes, hash_len=32, type=kind).decode()


# Keycloak
def keycloak(algorithm, rounds, data=None, length=64):
    salt = os.urandom(16)
    if algorithm == "argon2":
        value = hash_secret_raw(SECRET, salt, time_cost=rounds, memory_cost=7168, parallelism=1, hash_len=32, type=Type.ID)
        parameters = {"hashLength": ["32"], "memory": ["7168"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"]}
    else:
        digest = {"pbkdf2": "sha1"}.get(algorithm, algorithm.removeprefix("pbkdf2-"))
        value = hashlib.pbkdf2_hmac(digest, SECRET, salt, rounds, length)
        parameters = {}
    return {
        "secretData": json.dumps({"value": b64(value), "salt": b64(salt), "additionalParameters": {}}),
        "credentialData": json.dumps({"hashIterations": rounds, "algorithm": algorithm, "additionalParameters": parameters}),
    }


def user(name, *credentials):
    entries = [{"id": os.urandom(16).hex(), "type": kind, "createdDate": 1700000000000, **made} for kind, made in credentials]
    return {"id": os.urandom(16).hex(), "username": name, "email": f"{name}@example.org", "enabled": True,
            "attributes": {"locale": ["el"]}, "credentials": entries, "realmRoles": ["default-roles"]}


otp = {"secretData": '{"value":"secret of the otp"}', "credentialData": '{"subType":"totp","digits":6}'}
write_json("keycloak-realm.json", {
    "id": "shop", "realm": "shop", "roles": {"realm": [{"name": "user", "composite": False}]},
    "users": [
        user("sha256", ("otp", otp), ("password", keycloak("pbkdf2-sha256", 27500))),
        user("sha512", ("password", keycloak("pbkdf2-sha512", 21000))),
        user("argon2", ("password", keycloak("argon2", 5))),
        user("sha1", ("password", keycloak("pbkdf2", 20000, length=20))),
        user("nothing"),
    ],
    "clients": [{"clientId": "account", "secret": "**********"}],
})
rows = [(os.urandom(16).hex(), made["secretData"], "password", name, made["credentialData"])
        for name, made in (("row sha256", keycloak("pbkdf2-sha256", 27500, length=32)), ("row argon2", keycloak("argon2", 5)))]
write_csv("keycloak-credential.csv", ["id", "secret_data", "type", "user_id", "credential_data"], rows)

# Auth0, and JSON of others
write("auth0.ndjson", "".join(json.dumps(one) + "\n" for one in (
    {"_id": {"$oid": os.urandom(12).hex()}, "email": "b10@example.org", "email_verified": True, "passwordHash": bcrypt_hash("2b", 10)},
    {"_id": {"$oid": os.urandom(12).hex()}, "email": "a5@example.org", "passwordHash": bcrypt_hash("2a", 5)},
)))
write_json("others.json", [
    {"username": "custom", "custom_password_hash": {"algorithm": "argon2", "hash": {"value": argon2id(16384, 2, 2), "encoding": "utf8"}}},
    {"username": "plain member", "password_hash": argon2id(8192, 3, 1, Type.I)},
])

# Kratos
salt = os.urandom(16)
scrypt = f"$scrypt$ln=16384,r=8,p=1${b64(salt)}${b64(hashlib.scrypt(SECRET, salt=salt, n=16384, r=8, p=1, dklen=32))}"
salt = os.urandom(16)
pbkdf2 = f"$pbkdf2-sha256$i=100000,l=32${b64(salt, False)}${b64(hashlib.pbkdf2_hmac('sha256', SECRET, salt, 100000, 32), False)}"
write_json("kratos.json", [
    {"id": os.urandom(16).hex(), "traits": {"email": f"{name}@example.org"},
     "credentials": {"password": {"type": "password", "identifiers": [f"{name}@example.org"], "config": {"hashed_password": text}}}}
    for name, text in (("scrypt", scrypt), ("bcrypt", bcrypt_hash("2a", 8)), ("pbkdf2", pbkdf2), ("argon2", argon2id(131072, 1, 4)))
])

# passlib: Odoo and others
write_csv("odoo.csv", ["id", "login", "password", "active"], [
    (1, "sha512@example.org", pbkdf2_sha512.using(rounds=25000).hash(PASSWORD), "t"),
    (2, "sha256@example.org", pbkdf2_sha256.using(rounds=29000).hash(PASSWORD), "t"),
    (3, "long salt", pbkdf2_sha256.using(rounds=2000, salt_size=48).hash(PASSWORD), "t"),
    (4, "too long salt", pbkdf2_sha256.using(rounds=2000, salt_size=64).hash(PASSWORD), "t"),
    (5, "sha1", pbkdf2_sha1.using(rounds=2000).hash(PASSWORD), "t"),
    (6, "crypt", sha512_crypt.using(rounds=5000).hash(PASSWORD), "t"),
    (7, "nothing", "", "t"),
])

# Django
hashes = [("pbkdf2", "pbkdf2_sha256"), ("argon2", "argon2"), ("scrypt", "scrypt"), ("bcrypt", "bcrypt"), ("bcrypt sha256", "bcrypt_sha256"), ("md5", "md5")]
made = [(name, make_password(PASSWORD, hasher=hasher)) for name, hasher in hashes] + [("nobody", make_password(None))]
write_json("django.json", [{"model": "auth.user", "pk": pk, "fields": {"password": text, "username": name, "email": f"{pk}@example.org", "groups": []}}
                           for pk, (name, text) in enumerate(made)])
write_csv("django.csv", ["id", "password", "last_login", "username", "email"],
          [(pk, text, "", name, f"{pk}@example.org") for pk, (name, text) in enumerate(made)], delimiter=";")

# Werkzeug
write_csv("werkzeug.csv", ["user_name", "password_hash"], [
    (method, generate_password_hash(PASSWORD, method=method))
    for method in ("scrypt", "scrypt:16384:8:2", "pbkdf2:sha256:5000", "pbkdf2:sha512:3000", "pbkdf2:sha1:1000")
], delimiter="\t")


# ASP.NET Identity
def identity(function, digest, rounds):
    salt = os.urandom(16)
    subkey = hashlib.pbkdf2_hmac(digest, SECRET, salt, rounds, 32)
    return b64(b"\x01" + struct.pack(">III", function, rounds, len(salt)) + salt + subkey)


salt = os.urandom(16)
identity_v2 = b64(b"\x00" + salt + hashlib.pbkdf2_hmac("sha1", SECRET, salt, 1000, 32))
write_csv("aspnet.csv", ["Id", "UserName", "PasswordHash"], [
    (1, "sha256", identity(1, "sha256", 10000)), (2, "sha512", identity(2, "sha512", 10000)),
    (3, "sha1", identity(0, "sha1", 10000)), (4, "v2", identity_v2), (5, "nothing", ""),
])


# LDAP
def entry(uid, text, encoded):
    value = f": {base64.b64encode(text.encode()).decode()}" if encoded else f" {text}"
    line = f"userPassword:{value}"
    folded = "\n ".join([line[:60]] + [line[at:at + 60] for at in range(60, len(line), 60)])
    return f"dn: uid={uid},ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {uid}\nmail: {uid}@example.org\n{folded}\n"


write("ldap.ldif", "version: 1\n\n# people\n" + "\n".join([
    entry("sha256", ldap_pbkdf2_sha256.using(rounds=6000).hash(PASSWORD), True),
    entry("sha512", ldap_pbkdf2_sha512.using(rounds=6000).hash(PASSWORD), False),
    entry("crypt", "{CRYPT}" + bcrypt_hash("2y", 6), True),
    entry("ssha", ldap_salted_sha1.hash(PASSWORD), True),
    entry("sha-crypt", "{crypt}" + sha512_crypt.using(rounds=5000).hash(PASSWORD), False),
    "dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n",
]))


# Magento
def magento(salt, version):
    value = hash_secret_raw(SECRET, salt[:16].encode(), time_cost=2, memory_cost=65536, parallelism=1, hash_len=32, type=Type.ID)
    return f"{value.hex()}:{salt}:{version}"


write_csv("magento.csv", ["entity_id", "email", "password_hash"], [
    (1, "v3@example.org", magento("Zr0wPEnv1sRmTQGzQ0b9cR3zJ1hMnl5S", "3_32_2_67108864")),
    (2, "v2@example.org", magento("abcdefghijklmnop", "2")),
    (3, "v1@example.org", hashlib.sha256(b"salt" + SECRET).hexdigest() + ":salt:1"),
    (4, "chain@example.org", "ab" * 32 + ":salt:1:2"),
])


# Better Auth
def better_auth():
    salt = os.urandom(16).hex()
    return salt + ":" + hashlib.scrypt(SECRET, salt=salt.encode(), n=16384, r=16, p=1, maxmem=1 << 26, dklen=64).hex()


write_json("better-auth.json", {"accounts": [
    {"id": "1", "accountId": "user-1", "providerId": "credential", "password": better_auth()},
    {"id": "2", "accountId": "user-2", "providerId": "google", "password": None},
]})

# Lines
salt = os.urandom(16)
padded = f"$scrypt$ln=12,r=8,p=1${b64(salt)}${b64(hashlib.scrypt(SECRET, salt=salt, n=4096, r=8, p=1, dklen=32))}"
write("lines.txt", f"0042,{argon2id(7168, 5, 1)}\n0043 {padded}\n0044\t{bcrypt_hash('2y', 4)}\n0045:{argon2id(19456, 2, 1)}\n\nno hash\n")


# Spring
def spring_scrypt(ln):
    salt = os.urandom(16)
    value = hashlib.scrypt(SECRET, salt=salt, n=1 << ln, r=8, p=1, maxmem=1 << 28, dklen=32)
    return f"${ln << 16 | 8 << 8 | 1:x}${b64(salt)}${b64(value)}"


def spring_pbkdf2(digest, salt_bytes, rounds):
    salt = os.urandom(salt_bytes)
    return (salt + hashlib.pbkdf2_hmac(digest, SECRET, salt, rounds, 32)).hex()


write_csv("spring.csv", ["username", "password", "enabled"], [
    ("bcrypt", "{bcrypt}" + bcrypt_hash("2a", 10), "t"),
    ("argon2", "{argon2@SpringSecurity_v5_8}" + argon2id(16384, 2, 1), "t"),
    ("scrypt", "{scrypt@SpringSecurity_v5_8}" + spring_scrypt(16), "t"),
    ("old scrypt", "{scrypt}" + spring_scrypt(14), "t"),
    ("pbkdf2", "{pbkdf2@SpringSecurity_v5_8}" + spring_pbkdf2("sha256", 16, 310000), "t"),
    ("old pbkdf2", "{pbkdf2}" + spring_pbkdf2("sha1", 8, 185000), "t"),
    ("noop", "{noop}" + PASSWORD, "t"),
    ("sha256", "{sha256}" + os.urandom(40).hex(), "t"),
    ("other", "{company}" + PASSWORD, "t"),
])

# Tables of users of PHP and Ruby applications
wordpress = base64.b64encode(hashlib.sha384(b"wp-sha384" + SECRET).digest())
write_csv("wordpress.csv", ["ID", "user_login", "user_pass", "user_nicename", "user_email", "user_registered"], [
    (1, "plain", bcrypt_hash("2y", 10), "plain", "plain@example.org", "2024-01-01 10:00:00"),
    (2, "portable", phpass.using(rounds=8).hash(PASSWORD), "portable", "portable@example.org", "2012-01-01 10:00:00"),
    (3, "six eight", "$wp" + bcrypt.hashpw(wordpress, bcrypt.gensalt(10)).decode().replace("$2b$", "$2y$"), "six", "six@example.org", "2025-05-01 10:00:00"),
])
write_csv("rails.csv", ["id", "email", "encrypted_password", "reset_password_token", "sign_in_count"], [
    (1, "devise@example.org", bcrypt_hash("2a", 12), "", 7), (2, "omniauth@example.org", "", "", 0),
])
write_csv("laravel.csv", ["id", "name", "email", "email_verified_at", "password", "remember_token"], [
    (1, "Müller; Jörg", "joerg@example.org", "2024-01-01 10:00:00", bcrypt_hash("2y", 12), "NULL"),
    (2, "Ana", "ana@example.org", "NULL", argon2id(65536, 4, 1), "NULL"),
], delimiter=";")
write_csv("drupal.csv", ["uid", "name", "pass", "mail"], [
    (0, "", "NULL", "NULL"), (1, "ten", bcrypt_hash("2y", 10), "ten@example.org"),
    (2, "seven", "$S$DWGrxef6.D0cwB5Ts.GlnLw15chRRWH2s1R3QBwC0EkvBQ/9TCGg", "seven@example.org"),
    (3, "six", "U$S$DWGrxef6.D0cwB5Ts.GlnLw15chRRWH2s1R3QBwC0EkvBQ/9TCGg", "six@example.org"),
])

# Lines of Unix and of web servers
write("shadow.txt", "\n".join([
    "root:*:19700:0:99999:7:::", "# a comment: of the operator", "daemon:!:19700:0:99999:7:::",
    f"ana:{sha512_crypt.using(rounds=5000).hash(PASSWORD)}:19700:0:99999:7:::",
    "ben:$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7:19700:0:99999:7:::",
    f"eva:{bcrypt_hash('2b', 8)}:19700:0:99999:7:::", "new::19700:0:99999:7:::", "",
]))
write("htpasswd.txt", "\n".join([
    "# of the shop", f"md5:{apr_md5_crypt.hash(PASSWORD)}", f"ben:{bcrypt_hash('2y', 5)}",
    "sha:{SHA}" + b64(hashlib.sha1(SECRET).digest()), f"a b:{bcrypt_hash('2y', 5)}", "",
]))

# Identity providers
write_json("firebase.json", {"users": [
    {"localId": "f1", "email": "f1@example.org", "passwordHash": b64(os.urandom(64)), "salt": b64(os.urandom(12)), "providerUserInfo": []},
    {"localId": "f2", "email": "f2@example.org", "providerUserInfo": [{"providerId": "google.com"}]},
]})
write_csv("cognito.csv", ["name", "email", "email_verified", "phone_number", "cognito:mfa_enabled", "cognito:username"],
          [("Ana", "ana@example.org", "true", "+35799000000", "false", "ana")])


# LDAP: several values, schemes in either case, values that are folded or base64, comments
def attribute(text, encoded, at=60):
    value = f": {base64.b64encode(text.encode()).decode()}" if encoded else f" {text}"
    line = f"userPassword:{value}"
    return "\n ".join([line[:at]] + [line[place:place + at] for place in range(at, len(line), at)])


def person(uid, *attributes):
    return "\n".join([f"dn: uid={uid},ou=people,dc=example,dc=org", "objectClass: inetOrgPerson", f"uid: {uid}", *attributes, ""])


salted = ldap_salted_sha1.hash(PASSWORD)
write("ldap-several.ldif", "version: 1\n\n# entries of a\n  directory, uid: folded comment\n" + "\n".join([
    person("several", attribute(salted, True), attribute("{bcrypt}" + bcrypt_hash("2b", 6), False), attribute("{ARGON2}" + argon2id(19456, 2, 1), True)),
    person("weak and strong", attribute("{Argon2}" + argon2id(7168, 5, 1), False), attribute("{Crypt}" + bcrypt_hash("2y", 10), True)),
    person("lower", "userpassword" + attribute(ldap_pbkdf2_sha256.using(rounds=6000).hash(PASSWORD).replace("PBKDF2-SHA256", "pbkdf2-sha256"), True, 20).removeprefix("userPassword")),
    person("options", "userPassword;x-old" + attribute("{CRYPT}" + bcrypt_hash("2y", 5), False).removeprefix("userPassword")),
    person("ssha", attribute(salted.replace("{SSHA}", "{ssha}"), True), attribute("{md5}" + b64(hashlib.md5(SECRET).digest()), False)),
    person("none", "description: has no password"),
    person("elsewhere", "userPassword: {SASL}elsewhere@EXAMPLE.ORG"),
    person("in a file", "userPassword:< file:///var/secrets/password"),
    person("locked", "userPassword: {CRYPT}!"),
    "dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n",
]))
