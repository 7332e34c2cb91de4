-- The instance, its keys, organizations, the audit chain, durable jobs, idempotency keys and operations.
-- Written with PostgreSQL's types; crates/store/src/migrations.rs translates for SQLite (see there for the rules).

CREATE TABLE instance_settings (
    id bigint NOT NULL PRIMARY KEY CONSTRAINT instance_settings_single CHECK (id = 1),
    setup_token_digest bytea,
    sign_up text NOT NULL CONSTRAINT instance_settings_sign_up CHECK (sign_up IN ('open', 'invitation', 'closed')),
    settings jsonb NOT NULL,
    key_check bytea,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Metadata only: the master key itself is never in the database.
CREATE TABLE master_keys (
    id text NOT NULL PRIMARY KEY,
    state text NOT NULL CONSTRAINT master_keys_state CHECK (state IN ('current', 'pending', 'retired')),
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);

-- tenant: the organization, or all zeros for the instance's own key. No foreign key: destroying the row is the erasure.
CREATE TABLE data_keys (
    tenant uuid NOT NULL,
    version bigint NOT NULL,
    wrapped bytea NOT NULL,
    master_key_id text NOT NULL,
    state text NOT NULL CONSTRAINT data_keys_state CHECK (state IN ('current', 'pending', 'retired')),
    created_at timestamptz NOT NULL,
    retired_at timestamptz,
    PRIMARY KEY (tenant, version)
);
CREATE UNIQUE INDEX data_keys_current ON data_keys (tenant) WHERE state = 'current';
CREATE INDEX data_keys_master_key ON data_keys (master_key_id);

CREATE TABLE organizations (
    id uuid NOT NULL PRIMARY KEY,
    slug text NOT NULL,
    name text NOT NULL,
    settings jsonb NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX organizations_slug ON organizations (slug);
CREATE INDEX organizations_created_at ON organizations (created_at, id);

-- chain: the organization, or all zeros for the instance. The hash covers every column but source_address and
-- personal_salt, which an erasure may empty; it covers personal_digest in their stead.
CREATE TABLE audit_entries (
    id uuid NOT NULL PRIMARY KEY,
    chain uuid NOT NULL,
    sequence bigint NOT NULL,
    at timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor_id text,
    action text NOT NULL,
    resource_kind text,
    resource_id text,
    resource_name text,
    request_id text,
    source_address text,
    personal_salt bytea,
    personal_digest bytea,
    details text NOT NULL,
    before_digest bytea,
    after_digest bytea,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL
);
CREATE UNIQUE INDEX audit_entries_sequence ON audit_entries (chain, sequence);
CREATE INDEX audit_entries_at ON audit_entries (chain, at, id);
CREATE INDEX audit_entries_actor ON audit_entries (chain, actor_id, at);
CREATE INDEX audit_entries_resource ON audit_entries (chain, resource_id, at);

CREATE TABLE audit_heads (
    chain uuid NOT NULL PRIMARY KEY,
    sequence bigint NOT NULL,
    hash bytea NOT NULL
);

-- tenant: the organization, or all zeros for the instance's own work. fence: number of claims, never goes down.
CREATE TABLE jobs (
    id uuid NOT NULL PRIMARY KEY,
    kind text NOT NULL,
    tenant uuid NOT NULL,
    pool text NOT NULL CONSTRAINT jobs_pool CHECK (pool IN ('deployments', 'background')),
    priority bigint NOT NULL,
    serial_key text,
    unique_key text,
    payload jsonb NOT NULL,
    state text NOT NULL CONSTRAINT jobs_state CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'canceled')),
    run_at timestamptz NOT NULL,
    attempt bigint NOT NULL,
    attempts_max bigint NOT NULL,
    deadline timestamptz,
    lease_owner text,
    lease_until timestamptz,
    fence bigint NOT NULL,
    cancel_requested_at timestamptz,
    error text,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz
);
CREATE UNIQUE INDEX jobs_unique_key ON jobs (unique_key) WHERE state IN ('queued', 'running');
CREATE UNIQUE INDEX jobs_serial_running ON jobs (serial_key) WHERE state = 'running';
CREATE INDEX jobs_due ON jobs (pool, run_at) WHERE state = 'queued';
CREATE INDEX jobs_queued ON jobs (pool, tenant, priority, created_at, id) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (pool, tenant) WHERE state = 'running';
CREATE INDEX jobs_leases ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_serial ON jobs (serial_key, created_at, id) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- When an organization was last given a worker: what makes the queue fair. All zeros: jobs of the instance itself.
CREATE TABLE job_turns (
    pool text NOT NULL,
    tenant uuid NOT NULL,
    served_at timestamptz NOT NULL,
    PRIMARY KEY (pool, tenant)
);

CREATE TABLE job_schedules (
    kind text NOT NULL PRIMARY KEY,
    next_at timestamptz NOT NULL
);

CREATE TABLE idempotency_keys (
    scope text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    state text NOT NULL CONSTRAINT idempotency_keys_state CHECK (state IN ('running', 'done')),
    status bigint,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);

CREATE TABLE operations (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid,
    kind text NOT NULL,
    subject_kind text,
    subject_id text,
    job_id uuid,
    state text NOT NULL CONSTRAINT operations_state CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'canceled')),
    result jsonb,
    error jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX operations_organization ON operations (organization_id, created_at, id);
