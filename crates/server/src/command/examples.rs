//! Examples of each command, for `--help` and the manual. A test parses all of them.

pub(super) const SERVE: &str = "\
Examples:
  access-tokens serve --demo
  access-tokens serve --config /etc/access-tokens.toml
  access-tokens serve --set grpc.listen=0.0.0.0:50051 --set grpc.tls.certificate=tls.pem --set grpc.tls.key=tls.key";

pub(super) const GATEWAY: &str = "\
Examples:
  access-tokens gateway --upstream https://tokens.example.com:50051
  access-tokens gateway --upstream http://127.0.0.1:50051 --set http.listen=127.0.0.1:8081 --set ops.listen=127.0.0.1:9091";

pub(super) const MIGRATE: &str = "\
Examples:
  access-tokens migrate
  access-tokens migrate --new-database                                      # an empty one, with keys of another one
  access-tokens migrate --config /etc/access-tokens.toml";

pub(super) const IMPORT: &str = "\
Examples:
  access-tokens import --organisation DEMO --check cards.ndjson
  access-tokens import --organisation DEMO directory.ndjson cards.ndjson
  access-tokens import --organisation NEW --create-organisation directory.ndjson
  access-tokens import --inspect cards.csv                                  # what a mapping file has to say
  access-tokens import --organisation DEMO --mapping cards.toml --rejects refused.csv cards.csv
  access-tokens import --organisation DEMO --map authentication_code=Code --map number=No cards.csv
  access-tokens import --organisation DEMO -                                # from standard input
  access-tokens import --organisation DEMO --update-only hashes.ndjson      # changes tokens, creates none
  access-tokens import --organisation DEMO --owners existing --classifications existing cards.ndjson";

pub(super) const CONVERT_HASHES: &str = "\
Examples:
  access-tokens convert-hashes --from keycloak --output hashes.ndjson realm-export.json
  access-tokens convert-hashes --from django --join identifier=email --unsupported others.csv users.csv
  access-tokens convert-hashes --from phc --join authentication_code --output hashes.ndjson lines.txt
  access-tokens convert-hashes --from ldap --kind user --output users.ndjson people.ldif";

pub(super) const ORGANISATION_ADD: &str = "\
Examples:
  access-tokens organisation add ACME";

pub(super) const ORGANISATION_RENAME: &str = "\
Examples:
  access-tokens organisation rename ACME ACME-Cyprus";

pub(super) const USER_ADD: &str = "\
Examples:
  access-tokens user add --organisation DEMO --username anna --password-stdin --permissions admin < password.txt
  access-tokens user add --organisation DEMO --username anna --password-stdin --permissions access_tokens.read
  access-tokens user add --organisation DEMO --username till --password-stdin --permissions access_tokens.read --network 192.0.2.0/24";

pub(super) const USER_UNLOCK: &str = "\
Examples:
  access-tokens user unlock --organisation DEMO --username anna";

pub(super) const USER_PASSWORD: &str = "\
Examples:
  access-tokens user password --organisation DEMO --username anna --password-stdin < password.txt";

pub(super) const USER_DISABLE: &str = "\
Examples:
  access-tokens user disable --organisation DEMO --username anna";

pub(super) const USER_ENABLE: &str = "\
Examples:
  access-tokens user enable --organisation DEMO --username anna";

pub(super) const USER_LIST: &str = "\
Examples:
  access-tokens user list --organisation DEMO";

pub(super) const API_KEY_ADD: &str = "\
Examples:
  access-tokens api-key add --organisation DEMO --name till --permissions access_tokens.read,access_tokens.write
  access-tokens api-key add --organisation DEMO --name till --permissions access_tokens.read | awk 'END {print $NF}'";

pub(super) const API_KEY_LIST: &str = "\
Examples:
  access-tokens api-key list --organisation DEMO";

pub(super) const API_KEY_REVOKE: &str = "\
Examples:
  access-tokens api-key revoke --organisation DEMO 0123456789abcdef";

pub(super) const API_KEY_ROTATE: &str = "\
Examples:
  access-tokens api-key rotate --organisation DEMO 0123456789abcdef
  access-tokens api-key rotate --organisation DEMO --overlap 3600 0123456789abcdef";

pub(super) const ORGANISATION_LIST: &str = "\
Examples:
  access-tokens organisation list";

pub(super) const USER_NETWORK: &str = "\
Examples:
  access-tokens user network --organisation DEMO --username anna --network 192.0.2.0/24 --network 2001:db8::/64";

pub(super) const KEYS_INIT: &str = "\
Examples:
  access-tokens keys init
  access-tokens keys init --set keys.file=/etc/access-tokens/keys";

pub(super) const KEYS_LIST: &str = "\
Examples:
  access-tokens keys list";

pub(super) const KEYS_ROTATE: &str = "\
Examples:
  access-tokens keys rotate                                                 # all servers see the same file
  access-tokens keys rotate --prepare                                       # they have copies: first to all of them,
  access-tokens keys rotate --to 9f31c0aa                                   # and then this on all of them";

pub(super) const KEYS_REENCRYPT: &str = "\
Examples:
  access-tokens keys re-encrypt";

pub(super) const KEYS_WITHDRAW: &str = "\
Examples:
  access-tokens keys withdraw --passwords --api-keys 9f31c0aa
  access-tokens keys withdraw --pass-codes --unused-days 365 9f31c0aa";

pub(super) const KEYS_RETIRE: &str = "\
Examples:
  access-tokens keys retire 9f31c0aa
  access-tokens keys retire --end-sessions 9f31c0aa                         # after a leak";

pub(super) const HEALTHCHECK: &str = "\
Examples:
  access-tokens healthcheck
  access-tokens healthcheck --set grpc.listen=127.0.0.1:50052
  access-tokens healthcheck --gateway --set ops.listen=127.0.0.1:9091";

pub(super) const CHECK_CONFIG: &str = "\
Examples:
  access-tokens check-config
  access-tokens check-config --config /etc/access-tokens.toml
  access-tokens check-config --markdown";

pub(super) const DOCTOR: &str = "\
Examples:
  access-tokens doctor
  access-tokens doctor --deep --config /etc/access-tokens.toml
  access-tokens doctor --json | jq '.findings[] | select(.level != \"ok\")'

Exit codes: 0 all is well; 1 there are problems; 3 there are warnings, and no problems.";

pub(super) const BACKUP: &str = "\
Examples:
  access-tokens backup /backups/access-tokens-2026-11-22.db
  access-tokens backup /backups/access-tokens-$(date +%FT%H%M).db           # from cron

Exit codes: 0 the copy is there, and was read; 1 there is none; 4 the database is PostgreSQL.";

pub(super) const RESTORE: &str = "\
Examples:
  access-tokens restore --verify /backups/access-tokens-2026-11-22.db       # every night, after the backup
  access-tokens restore /backups/access-tokens-2026-11-22.db
  access-tokens restore --replace /backups/access-tokens-2026-11-22.db

Exit codes: 0 it is there, or could be; 1 nothing was changed; 4 the database is PostgreSQL.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  access-tokens completions bash > /etc/bash_completion.d/access-tokens
  access-tokens completions zsh > ~/.zfunc/_access-tokens
  access-tokens completions fish > ~/.config/fish/completions/access-tokens.fish";

pub(super) const MAN: &str = "\
Examples:
  access-tokens man /usr/local/share/man/man1
  access-tokens man | man -l -";
