-- Projects, environments, services and what belongs to them. Every tenant's row carries its organization, and a reference
-- from one to another includes it: a row of one organization can never hang below one of another.

CREATE TABLE projects (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    icon text,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleting_at timestamptz,
    CONSTRAINT projects_organization FOREIGN KEY (organization_id) REFERENCES organizations (id)
);
CREATE UNIQUE INDEX projects_slug ON projects (organization_id, slug);
CREATE UNIQUE INDEX projects_key ON projects (organization_id, id);
CREATE INDEX projects_created_at ON projects (organization_id, created_at, id);

CREATE TABLE environments (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    project_id uuid NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL CONSTRAINT environments_kind CHECK (kind IN ('production', 'staging', 'development', 'preview')),
    -- The one that every project has; it cannot be deleted alone.
    is_default boolean NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleting_at timestamptz,
    CONSTRAINT environments_project FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id)
);
CREATE UNIQUE INDEX environments_slug ON environments (project_id, slug);
CREATE UNIQUE INDEX environments_default ON environments (project_id) WHERE is_default;
CREATE UNIQUE INDEX environments_key ON environments (organization_id, id);
CREATE UNIQUE INDEX environments_project_key ON environments (organization_id, project_id, id);
CREATE INDEX environments_created_at ON environments (project_id, created_at, id);

CREATE TABLE services (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    project_id uuid NOT NULL,
    environment_id uuid NOT NULL,
    slug text NOT NULL,
    kind text NOT NULL CONSTRAINT services_kind CHECK (kind IN ('app', 'database', 'stack')),
    name text NOT NULL,
    description text NOT NULL,
    icon text,
    -- One DNS label, unique in the instance: the generated host, the network alias, the log folder. Never changes.
    app_name text NOT NULL,
    configuration jsonb NOT NULL,
    -- Guards changes of the configuration (If-Match).
    version bigint NOT NULL,
    -- Rises with every change that the next release will contain (configuration, variables, files, domains).
    revision bigint NOT NULL,
    -- The revision that the current release was made of.
    released_revision bigint,
    current_release_id uuid,
    stopped boolean NOT NULL,
    fence bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleting_at timestamptz,
    CONSTRAINT services_environment FOREIGN KEY (organization_id, project_id, environment_id)
        REFERENCES environments (organization_id, project_id, id)
);
CREATE UNIQUE INDEX services_slug ON services (environment_id, slug);
CREATE UNIQUE INDEX services_app_name ON services (app_name);
CREATE UNIQUE INDEX services_key ON services (organization_id, id);
CREATE INDEX services_created_at ON services (organization_id, created_at, id);
CREATE INDEX services_environment_created_at ON services (environment_id, created_at, id);
CREATE INDEX services_project ON services (organization_id, project_id);

-- scope_kind 'file': a text file of a service; scope_id is the service then.
CREATE TABLE variables (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    scope_kind text NOT NULL CONSTRAINT variables_scope_kind CHECK (scope_kind IN ('project', 'environment', 'service', 'file')),
    scope_id uuid NOT NULL,
    name text NOT NULL,
    kind text NOT NULL CONSTRAINT variables_kind CHECK (kind IN ('plain', 'secret', 'sealed')),
    -- The version in variable_versions that counts now.
    version bigint NOT NULL,
    -- Slugs of the services that the value refers to.
    refers_to jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX variables_name ON variables (scope_id, scope_kind, name);
CREATE UNIQUE INDEX variables_key ON variables (organization_id, id);
CREATE INDEX variables_scope ON variables (organization_id, scope_kind, scope_id, name);

CREATE TABLE variable_versions (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    variable_id uuid NOT NULL,
    version bigint NOT NULL,
    kind text NOT NULL CONSTRAINT variable_versions_kind CHECK (kind IN ('plain', 'secret', 'sealed')),
    plain_value text,
    sealed_value bytea,
    size_bytes bigint NOT NULL,
    author_kind text NOT NULL,
    author_id text,
    created_at timestamptz NOT NULL,
    CONSTRAINT variable_versions_variable FOREIGN KEY (organization_id, variable_id)
        REFERENCES variables (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT variable_versions_value CHECK ((kind = 'plain' AND plain_value IS NOT NULL AND sealed_value IS NULL)
        OR (kind <> 'plain' AND plain_value IS NULL AND sealed_value IS NOT NULL))
);
CREATE UNIQUE INDEX variable_versions_version ON variable_versions (variable_id, version);

CREATE TABLE credentials (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    kind text NOT NULL CONSTRAINT credentials_kind CHECK (kind IN ('git_token', 'deploy_key', 'registry')),
    name text NOT NULL,
    sealed_value bytea NOT NULL,
    -- Where it belongs; shown to tell credentials apart.
    host text,
    username text,
    -- Deploy keys: the line to enter at the git host, its fingerprint, the hosts' keys that are trusted.
    public_line text,
    fingerprint text,
    known_hosts text,
    last_characters text,
    version bigint NOT NULL,
    author_kind text NOT NULL,
    author_id text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT credentials_organization FOREIGN KEY (organization_id) REFERENCES organizations (id)
);
CREATE UNIQUE INDEX credentials_name ON credentials (organization_id, name);
CREATE UNIQUE INDEX credentials_key ON credentials (organization_id, id);
CREATE INDEX credentials_created_at ON credentials (organization_id, created_at, id);

CREATE TABLE domains (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    service_id uuid NOT NULL,
    -- Lower case, IDNA applied; one owner in the whole instance.
    host text NOT NULL,
    is_primary boolean NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT domains_service FOREIGN KEY (organization_id, service_id) REFERENCES services (organization_id, id)
);
CREATE UNIQUE INDEX domains_host ON domains (host);
CREATE UNIQUE INDEX domains_primary ON domains (service_id) WHERE is_primary;
CREATE INDEX domains_service_created_at ON domains (service_id, created_at, id);
CREATE INDEX domains_organization ON domains (organization_id, created_at, id);

CREATE TABLE volumes (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    service_id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    deleting_at timestamptz,
    CONSTRAINT volumes_service FOREIGN KEY (organization_id, service_id) REFERENCES services (organization_id, id)
);
CREATE UNIQUE INDEX volumes_name ON volumes (service_id, name);
CREATE INDEX volumes_service_created_at ON volumes (service_id, created_at, id);
CREATE INDEX volumes_organization ON volumes (organization_id, created_at, id);

CREATE TABLE uploads (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    service_id uuid NOT NULL,
    -- SHA-256 in hexadecimal.
    content_digest text NOT NULL,
    format text NOT NULL CONSTRAINT uploads_format CHECK (format IN ('zip', 'tar', 'tar_gz')),
    size_bytes bigint NOT NULL,
    author_kind text NOT NULL,
    author_id text,
    created_at timestamptz NOT NULL,
    CONSTRAINT uploads_service FOREIGN KEY (organization_id, service_id) REFERENCES services (organization_id, id)
);
CREATE INDEX uploads_service_created_at ON uploads (service_id, created_at, id);
CREATE INDEX uploads_organization ON uploads (organization_id, created_at, id);

CREATE TABLE tags (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    color text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT tags_organization FOREIGN KEY (organization_id) REFERENCES organizations (id)
);
CREATE UNIQUE INDEX tags_name ON tags (organization_id, name);
CREATE UNIQUE INDEX tags_key ON tags (organization_id, id);

CREATE TABLE project_tags (
    organization_id uuid NOT NULL,
    project_id uuid NOT NULL,
    tag_id uuid NOT NULL,
    PRIMARY KEY (project_id, tag_id),
    CONSTRAINT project_tags_project FOREIGN KEY (organization_id, project_id) REFERENCES projects (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT project_tags_tag FOREIGN KEY (organization_id, tag_id) REFERENCES tags (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX project_tags_tag_id ON project_tags (tag_id);
