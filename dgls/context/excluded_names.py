"""Names of files that hold secrets, and of lock files, as rules of a .gitignore.

The rules match whole paths in lower case, so a folder's name excludes all files below it. Plain data.
"""

from __future__ import annotations

import re

SECRETS = (
    # files only: folders of code have these names, too
    *("credentials", "kubeconfig", "*_rsa", "*_dsa", "*_ecdsa", "*_ed25519"),
    *("!credentials/", "!kubeconfig/", "!*_rsa/", "!*_dsa/", "!*_ecdsa/", "!*_ed25519/"),
    # settings of one machine or deployment; templates of them hold no secrets
    *(".env", ".env.*", ".env-*", "*.env", ".envrc", ".envrc.*", ".flaskenv", ".dev.vars"),
    *(".renviron", ".secret", ".secrets"),
    *("!.env*.example", "!.env*.sample", "!.env*.template", "!.env*.dist", "!.env*.defaults"),
    *("secret.json", "secret.y*ml", "secret.toml", "secret.txt", "*secrets.json", "*secrets.y*ml", "*secrets.toml"),
    *("*secrets.ini", "*secrets.txt", "*secrets.properties", "*.secret", "*.secrets", "local.settings.json"),
    # private keys, certificates, keystores
    *("*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.pkcs12", "*.p7b", "*.p7c", "*.der", "*.crt", "*.cer", "*.cert"),
    *("*.csr", "*.jks", "*.keystore", "*.truststore", "*.bks", "*.ppk", "*.gpg", "*.pgp", "*.agekey", "*.kdb"),
    *("*.kdbx", "*.keychain", "*.keychain-db", "*.mobileprovision", "*.ovpn", "id_rsa*", "id_dsa*", "id_ecdsa*"),
    *("id_ed25519*", "!id_*_*.py", "!id_*_*.js", "!id_*_*.ts", "!id_*_*.go", "!id_*_*.rs", "!id_*_*.rb"),
    *("!id_*_*.java", "!id_*_*.c", "!id_*_*.h", "!id_*_*.cpp", "!id_*_*.cs", "!id_*_*.php", "!id_*_*.sh"),
    *("*key*.asc", "*private*.asc", "*secret*.asc", ".ssh/", ".gnupg/", ".password-store/"),
    # credentials of tools and clouds
    *(".netrc", "_netrc", ".npmrc", ".yarnrc.yml", ".pypirc", ".git-credentials", ".htpasswd", ".pgpass"),
    *("pgpass.conf", ".my.cnf", ".mylogin.cnf", ".s3cfg", ".boto", ".vault-token", ".vault-pass*", ".vault_pass*"),
    *("credentials.json", "credentials.y*ml", "credentials.toml", "credentials.ini", "credentials.csv"),
    *("credentials.xml", "credentials.db", "*credentials.json", "client_secret*.json", "*service-account*.json"),
    *("*service_account*.json", "*serviceaccount*.json", "google-services.json", ".aws/", ".azure/"),
    *("**/.config/gcloud/", "**/appdata/roaming/gcloud/", ".kube/", "kubeconfig.*", "*.kubeconfig"),
    *("**/composer/auth.json", "**/.composer/auth.json", "**/containers/auth.json", "**/.codex/auth.json"),
    *("**/.docker/config.json", ".dockercfg"),
    *(".dockerconfigjson", ".terraformrc", "terraform.rc", ".terraform/", "*.tfstate", "*.tfstate.*", "*.tfvars"),
    "*.tfvars.json",
    # histories and repositories
    *(".git/", ".hg/", ".svn/", ".bash_history", ".zsh_history", ".python_history", ".psql_history"),
    ".node_repl_history",
)  # fmt: skip

BACKUP = re.compile(r"(~|\.(bak|backup|old|orig|save|copy|tmp|sw[a-p])|[._-]\d+)$", re.IGNORECASE)
"""Endings that editors and people add to the name of a backup copy."""

LOCKS = (
    *("*.lock", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "bun.lockb", "go.sum"),
    *("gradle.lockfile", "packages.lock.json", "package.resolved"),
)
"""Not secret, but useless as context."""
