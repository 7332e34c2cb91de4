-- How many values a data key has sealed: a new one is due long before random nonces could repeat.
ALTER TABLE data_keys ADD COLUMN uses bigint NOT NULL DEFAULT 0;
