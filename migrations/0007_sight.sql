-- What a member sees of an organization may be narrowed to environments and services (crates/store/src/sight.rs).
ALTER TABLE memberships ADD COLUMN environments jsonb;
ALTER TABLE memberships ADD COLUMN services jsonb;
ALTER TABLE invitations ADD COLUMN environments jsonb;
ALTER TABLE invitations ADD COLUMN services jsonb;

-- A token may have a budget of requests of its own.
ALTER TABLE tokens ADD COLUMN rate_requests bigint;
ALTER TABLE tokens ADD COLUMN rate_window_seconds bigint;

-- streamed: up to where entries have been sent out. removed, removed_hash: the last entry that retention took away.
ALTER TABLE audit_heads ADD COLUMN streamed bigint NOT NULL DEFAULT 0;
ALTER TABLE audit_heads ADD COLUMN removed bigint NOT NULL DEFAULT 0;
ALTER TABLE audit_heads ADD COLUMN removed_hash bytea;
