//! Examples of each command, for `--help` and the manual. A test parses all of them.

use clap::Command;

/// The examples of all commands, one on each line.
const EXAMPLES: &str = "\
access-tokens serve --demo
access-tokens serve --config /etc/access-tokens.toml
access-tokens serve --set grpc.listen=0.0.0.0:50051 --set grpc.tls.certificate=tls.pem --set grpc.tls.key=tls.key
access-tokens gateway --upstream https://tokens.example.com:50051
access-tokens gateway --upstream http://127.0.0.1:50051 --set http.listen=127.0.0.1:8081 --set ops.listen=127.0.0.1:9091
access-tokens migrate
access-tokens migrate --new-database                                      # an empty one, with keys of another one
access-tokens migrate --config /etc/access-tokens.toml
access-tokens import --organisation DEMO --check cards.ndjson
access-tokens import --organisation DEMO directory.ndjson cards.ndjson
access-tokens import --organisation NEW --create-organisation directory.ndjson
access-tokens import --inspect cards.csv                                  # what a mapping file has to say
access-tokens import --organisation DEMO --mapping cards.toml --rejects refused.csv cards.csv
access-tokens import --organisation DEMO --map authentication_code=Code --map number=No cards.csv
access-tokens import --organisation DEMO -                                # from standard input
access-tokens import --organisation DEMO --update-only hashes.ndjson      # changes tokens, creates none
access-tokens import --organisation DEMO --owners existing --classifications existing cards.ndjson
access-tokens convert-hashes --from keycloak --output hashes.ndjson realm-export.json
access-tokens convert-hashes --from django --join identifier=email --unsupported others.csv users.csv
access-tokens convert-hashes --from phc --join authentication_code --output hashes.ndjson lines.txt
access-tokens convert-hashes --from ldap --kind user --output users.ndjson people.ldif
access-tokens organisation add ACME
access-tokens organisation rename ACME ACME-Cyprus
access-tokens user add --organisation DEMO --username anna --password-stdin --permissions admin < password.txt
access-tokens user add --organisation DEMO --username anna --password-stdin --permissions access_tokens.read
access-tokens user add --organisation DEMO --username till --password-stdin --permissions access_tokens.read --network 192.0.2.0/24
access-tokens user unlock --organisation DEMO --username anna
access-tokens user password --organisation DEMO --username anna --password-stdin < password.txt
access-tokens user disable --organisation DEMO --username anna
access-tokens user enable --organisation DEMO --username anna
access-tokens user list --organisation DEMO
access-tokens api-key add --organisation DEMO --name till --permissions access_tokens.read,access_tokens.write
access-tokens api-key add --organisation DEMO --name till --permissions access_tokens.read | awk 'END {print $NF}'
access-tokens api-key list --organisation DEMO
access-tokens api-key revoke --organisation DEMO 0123456789abcdef
access-tokens api-key rotate --organisation DEMO 0123456789abcdef
access-tokens api-key rotate --organisation DEMO --overlap 3600 0123456789abcdef
access-tokens organisation list
access-tokens user network --organisation DEMO --username anna --network 192.0.2.0/24 --network 2001:db8::/64
access-tokens keys init
access-tokens keys init --set keys.file=/etc/access-tokens/keys
access-tokens keys list
access-tokens keys rotate                                                 # all servers see the same file
access-tokens keys rotate --prepare                                       # they have copies: first to all of them,
access-tokens keys rotate --to 9f31c0aa                                   # and then this on all of them
access-tokens keys re-encrypt
access-tokens keys withdraw --passwords --api-keys 9f31c0aa
access-tokens keys withdraw --pass-codes --unused-days 365 9f31c0aa
access-tokens keys retire 9f31c0aa
access-tokens keys retire --end-sessions 9f31c0aa                         # after a leak
access-tokens healthcheck
access-tokens healthcheck --set grpc.listen=127.0.0.1:50052
access-tokens healthcheck --gateway --set ops.listen=127.0.0.1:9091
access-tokens check-config
access-tokens check-config --config /etc/access-tokens.toml
access-tokens check-config --markdown
access-tokens doctor
access-tokens doctor --deep --config /etc/access-tokens.toml
access-tokens doctor --json | jq '.findings[] | select(.level != \"ok\")'
access-tokens backup /backups/access-tokens-2026-11-22.db
access-tokens backup /backups/access-tokens-$(date +%FT%H%M).db           # from cron
access-tokens restore --verify /backups/access-tokens-2026-11-22.db       # every night, after the backup
access-tokens restore /backups/access-tokens-2026-11-22.db
access-tokens restore --replace /backups/access-tokens-2026-11-22.db
access-tokens completions bash > /etc/bash_completion.d/access-tokens
access-tokens completions zsh > ~/.zfunc/_access-tokens
access-tokens completions fish > ~/.config/fish/completions/access-tokens.fish
access-tokens man /usr/local/share/man/man1
access-tokens man | man -l -";

/// Adds the examples to the help texts of the commands below `command`. `invocation` is the command with those above it, such as
/// `access-tokens keys`. It is the beginning of the examples of a command without subcommands.
pub(super) fn add_examples(command: Command, invocation: &str) -> Command {
    if command.has_subcommands() {
        return command.mut_subcommands(|below| {
            let invocation = format!("{invocation} {}", below.get_name());
            add_examples(below, &invocation)
        });
    }
    let is_example =
        |line: &&str| line.strip_prefix(invocation).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    let examples: String = EXAMPLES.lines().filter(is_example).map(|line| format!("\n  {line}")).collect();
    let further = command.get_after_help().map(|text| format!("\n\n{text}")).unwrap_or_default();
    command.after_help(format!("Examples:{examples}{further}"))
}
