-- What a deployment changes of the formation alone: replicas per process type. NULL for every other deployment.
ALTER TABLE deployments ADD COLUMN formation jsonb;

-- Destructive statements in migrations that this release was the first to bring. NULL when there are none.
ALTER TABLE releases ADD COLUMN destructive jsonb;

-- When somebody took the key last: after a while without an answer a repeat may take it over.
ALTER TABLE idempotency_keys ADD COLUMN taken_at timestamptz;

-- The project it is about, for members who see some projects only.
ALTER TABLE operations ADD COLUMN project_id uuid;

-- The last crash loop of a service that was told of: one mail per episode.
CREATE TABLE service_crashes (
    service_id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    episode text NOT NULL,
    noted_at timestamptz NOT NULL,
    CONSTRAINT service_crashes_service FOREIGN KEY (service_id) REFERENCES services (id) ON DELETE CASCADE
);
