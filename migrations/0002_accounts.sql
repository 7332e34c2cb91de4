-- People, their sessions and tokens, memberships, invitations, one-use links, throttles and the outbox of mails.

-- email_key: the address in lower case, what is compared. A deleted account keeps its row (ids stand in audit logs) with
-- every personal column emptied or replaced.
CREATE TABLE users (
    id uuid NOT NULL PRIMARY KEY,
    email text NOT NULL,
    email_key text NOT NULL,
    name text NOT NULL,
    password_hash text,
    email_verified_at timestamptz,
    operator boolean NOT NULL,
    settings jsonb NOT NULL,
    version bigint NOT NULL,
    password_changed_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX users_email_key ON users (email_key);

-- switches: rights of a member that differ from the role's, by scope word. projects: ids of the allowed ones; NULL: all.
CREATE TABLE memberships (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role text NOT NULL CONSTRAINT memberships_role CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
    switches jsonb NOT NULL,
    projects jsonb,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id, organization_id);

CREATE TABLE sessions (
    id uuid NOT NULL PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    digest bytea NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    confirmed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    device text,
    source_address text
);
CREATE UNIQUE INDEX sessions_digest ON sessions (digest);
CREATE INDEX sessions_user ON sessions (user_id, created_at, id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE tokens (
    id uuid NOT NULL PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name text NOT NULL,
    digest bytea NOT NULL,
    scopes jsonb NOT NULL,
    organization_id uuid REFERENCES organizations (id) ON DELETE CASCADE,
    project_id uuid,
    environment_id uuid,
    service_id uuid,
    addresses jsonb,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    warned_at timestamptz
);
CREATE INDEX tokens_user ON tokens (user_id, created_at, id);
CREATE INDEX tokens_organization ON tokens (organization_id, user_id);
CREATE INDEX tokens_expires_at ON tokens (expires_at);

CREATE TABLE invitations (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    email text NOT NULL,
    email_key text NOT NULL,
    role text NOT NULL CONSTRAINT invitations_role CHECK (role IN ('viewer', 'member', 'admin')),
    switches jsonb NOT NULL,
    projects jsonb,
    digest bytea NOT NULL,
    invited_by uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX invitations_digest ON invitations (digest);
CREATE UNIQUE INDEX invitations_email ON invitations (organization_id, email_key);
CREATE INDEX invitations_created_at ON invitations (organization_id, created_at, id);
CREATE INDEX invitations_expires_at ON invitations (expires_at);

-- One-use links of mails, with a six-digit code where people may type one. email: the new address of a change.
CREATE TABLE links (
    id uuid NOT NULL PRIMARY KEY,
    kind text NOT NULL CONSTRAINT links_kind
        CHECK (kind IN ('verify_email', 'reset_password', 'change_email', 'cancel_email_change', 'transfer_ownership')),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    organization_id uuid REFERENCES organizations (id) ON DELETE CASCADE,
    digest bytea NOT NULL,
    code_digest bytea,
    code_expires_at timestamptz,
    attempts bigint NOT NULL,
    email text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX links_digest ON links (digest);
CREATE INDEX links_user ON links (user_id, kind, created_at);
CREATE INDEX links_organization ON links (organization_id, kind);
CREATE INDEX links_expires_at ON links (expires_at);

-- key: a keyed digest of the address that was tried, so that unknown addresses are throttled like known ones.
CREATE TABLE login_throttles (
    key bytea NOT NULL PRIMARY KEY,
    failures bigint NOT NULL,
    last_failed_at timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL
);
CREATE INDEX login_throttles_last_failed_at ON login_throttles (last_failed_at);

-- payload_sealed: the template's values, which may hold one-use links; emptied once the mail is sent or given up.
CREATE TABLE mails (
    id uuid NOT NULL PRIMARY KEY,
    user_id uuid,
    organization_id uuid,
    kind text NOT NULL,
    recipient text NOT NULL,
    payload_sealed bytea,
    state text NOT NULL CONSTRAINT mails_state CHECK (state IN ('queued', 'sent', 'failed')),
    attempts bigint NOT NULL,
    error text,
    created_at timestamptz NOT NULL,
    sent_at timestamptz
);
CREATE INDEX mails_queued ON mails (created_at, id) WHERE state = 'queued';
CREATE INDEX mails_created_at ON mails (created_at);
