-- Which stored versions of an asset were made by some code, so that they can be pointed to again.
create index versions_by_code on versions (asset, (provenance->>'$.code'), version_id);
