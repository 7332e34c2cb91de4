-- Deployments with their durable steps, releases, one-off runs.

CREATE TABLE deployments (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    service_id uuid NOT NULL,
    -- What makes intake exactly-once: a delivery of a git host, or the id of the request.
    delivery text NOT NULL,
    trigger_kind text NOT NULL,
    -- 'build' makes an image from the source; 'release' puts a new release of a known image; 'restart' replaces replicas.
    work text NOT NULL CONSTRAINT deployments_work CHECK (work IN ('build', 'release', 'restart')),
    title text,
    reference text,
    commit_id text,
    upload_id uuid,
    use_cache boolean NOT NULL,
    -- For a rollback: the release to return to.
    target_release_id uuid,
    author_kind text NOT NULL,
    author_id text,
    author_name text,
    fence bigint NOT NULL,
    job_id uuid,
    phase text NOT NULL,
    built jsonb,
    release_id uuid,
    failure jsonb,
    skip_reason text,
    superseded_by uuid,
    cancel_requested_at timestamptz,
    canceled_by text,
    healthy_after_ms bigint,
    requests_cut bigint,
    gap_ms bigint,
    warning text,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz
);
CREATE UNIQUE INDEX deployments_delivery ON deployments (service_id, delivery);
CREATE INDEX deployments_service ON deployments (service_id, created_at, id);
CREATE INDEX deployments_organization ON deployments (organization_id, created_at, id);
CREATE INDEX deployments_open ON deployments (service_id, created_at) WHERE finished_at IS NULL;

-- Intent before, outcome after the effect of each step.
CREATE TABLE deployment_steps (
    deployment_id uuid NOT NULL,
    step text NOT NULL,
    attempt bigint NOT NULL,
    intent_at timestamptz NOT NULL,
    outcome_at timestamptz,
    note text,
    PRIMARY KEY (deployment_id, step),
    CONSTRAINT deployment_steps_deployment FOREIGN KEY (deployment_id) REFERENCES deployments (id) ON DELETE CASCADE
);

CREATE TABLE releases (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    service_id uuid NOT NULL,
    version bigint NOT NULL,
    deployment_id uuid NOT NULL,
    reason text NOT NULL,
    image text NOT NULL,
    image_bytes bigint NOT NULL,
    image_kept boolean NOT NULL,
    revision text NOT NULL,
    commit_subject text,
    commit_author text,
    configuration jsonb NOT NULL,
    -- The resolved variables, sealed as one text.
    sealed_variables bytea NOT NULL,
    -- Names, kinds and versions, for the diff; no values.
    variable_names jsonb NOT NULL,
    hosts jsonb NOT NULL,
    -- The service's revision that was frozen; 0 for a rollback, which the service's own settings differ from.
    service_revision bigint NOT NULL,
    rolled_back_to bigint,
    irreversible boolean NOT NULL,
    author_name text,
    created_at timestamptz NOT NULL,
    -- When it first served; never for one whose rollout failed. A rollback and the keeping of images go by it.
    served_at timestamptz
);
CREATE UNIQUE INDEX releases_version ON releases (service_id, version);
CREATE UNIQUE INDEX releases_deployment ON releases (deployment_id);
CREATE INDEX releases_service ON releases (service_id, created_at, id);

CREATE TABLE runs (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    service_id uuid NOT NULL,
    release_id uuid NOT NULL,
    command jsonb NOT NULL,
    state text NOT NULL CONSTRAINT runs_state CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'canceled')),
    timeout_seconds bigint NOT NULL,
    exit_code bigint,
    reason text,
    job_id uuid,
    author_kind text NOT NULL,
    author_id text,
    author_name text,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz
);
CREATE INDEX runs_service ON runs (service_id, created_at, id);
