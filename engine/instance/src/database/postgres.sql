-- What SQLite has for documents in text form, so that a statement can be told once.
create function stored_json(document text) returns json
  language sql immutable strict parallel safe return document::json;
create function stored_json(document json) returns json
  language sql immutable strict parallel safe return document;

create function document_at(document text, path text) returns json
  language sql immutable strict parallel safe return document::json -> substr(path, 3);
create operator -> (leftarg = text, rightarg = text, function = document_at);

create function document_text_at(document text, path text) returns text
  language sql immutable strict parallel safe return document::json ->> substr(path, 3);
create operator ->> (leftarg = text, rightarg = text, function = document_text_at);

create function json_each(document text) returns table (key bigint, value json, atom text)
  language sql immutable strict parallel safe
begin atomic
  select e.ordinality - 1, e.value, e.value #>> '{}'
  from json_array_elements(document::json) with ordinality as e (value, ordinality);
end;
