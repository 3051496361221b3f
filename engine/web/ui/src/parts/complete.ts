// Completion of a run config in TOML: names of tables and entries, and values that are listed.
import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";

type Shape = { table?: Record<string, { shape: Shape; required: boolean; description?: string | null }>; schema?: Schema };
type Schema = {
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  enum?: unknown[];
  oneOf?: Schema[];
  anyOf?: Schema[];
  const?: unknown;
  $ref?: string;
  $defs?: Record<string, Schema>;
};

type Entry = { name: string; shape: Shape; required: boolean; description: string; type: string };

function deref(schema: Schema, root: Schema): Schema {
  const name = schema.$ref?.split("/").at(-1);
  return (name && root.$defs?.[name]) || schema;
}

/** The entries at a place. */
function entries(shape: Shape, root: Schema | undefined): Entry[] {
  if (shape.table) {
    return Object.entries(shape.table).map(([name, field]) => ({
      name, shape: field.shape, required: field.required, description: field.description ?? "", type: "table",
    }));
  }
  const schema = shape.schema && deref(shape.schema, root ?? shape.schema);
  return Object.entries(schema?.properties ?? {}).map(([name, property]) => ({
    name,
    shape: { schema: property },
    required: schema?.required?.includes(name) ?? false,
    description: property.description ?? "",
    type: String(deref(property, root ?? property).type ?? "value"),
  }));
}

/** The shape at a path; what is not there is nothing. */
function walk(shape: Shape | undefined, path: string[]): [Shape, Schema | undefined] | undefined {
  let [at, root] = [shape, shape?.schema];
  for (const part of path) {
    if (!at) return undefined;
    const next = entries(at, root).find((entry) => entry.name === part)?.shape;
    // A schema names its definitions at its own root.
    if (at.table && next?.schema) root = next.schema;
    at = next;
  }
  return at && [at, root];
}

function values(schema: Schema | undefined, root: Schema | undefined): unknown[] {
  if (!schema) return [];
  const of = deref(schema, root ?? schema);
  if (of.enum) return of.enum;
  if (of.const !== undefined) return [of.const];
  if (of.type === "boolean") return [true, false];
  return [...(of.oneOf ?? []), ...(of.anyOf ?? [])].flatMap((one) => values(one, root));
}

export function complete(context: CompletionContext, of: unknown): CompletionResult | null {
  const shape = of as Shape | undefined;
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  const header = /^\s*\[([\w."-]*)$/.exec(before);
  if (header) {
    const parts = header[1]!.split(".");
    const at = walk(shape, parts.slice(0, -1));
    if (!at) return null;
    const options = entries(...at).filter((entry) => entry.shape.table || entry.type === "object" || entry.shape.schema?.properties);
    return { from: context.pos - (parts.at(-1) ?? "").length, options: options.map(option), validFor: /^[\w-]*$/ };
  }
  // The table that the line stands in.
  let path: string[] = [];
  for (let number = line.number - 1; number > 0; number--) {
    const found = /^\s*\[([\w."-]+)\]/.exec(context.state.doc.line(number).text);
    if (found) {
      path = found[1]!.split(".");
      break;
    }
  }
  const value = /^\s*([\w.-]+)\s*=\s*("?[\w-]*)$/.exec(before);
  if (value) {
    const at = walk(shape, [...path, ...value[1]!.split(".")]);
    const options = at ? values(at[0].schema, at[1]) : [];
    return { from: context.pos - value[2]!.length, options: options.map((one) => ({ label: JSON.stringify(one) })) };
  }
  const name = /^\s*([\w-]*)$/.exec(before);
  if (!name || (name[1] === "" && !context.explicit)) return null;
  const at = walk(shape, path);
  if (!at) return null;
  const options = entries(...at).filter((entry) => !entry.shape.table).map((entry) => ({ ...option(entry), apply: `${entry.name} = ` }));
  const tables = path.length === 0 ? entries(...at).filter((entry) => entry.shape.table).map((entry) => ({ ...option(entry), apply: `[${entry.name}.` })) : [];
  return { from: context.pos - name[1]!.length, options: [...options, ...tables], validFor: /^[\w-]*$/ };
}

function option(entry: Entry): Completion {
  return { label: entry.name, detail: `${entry.type}${entry.required ? ", required" : ""}`, info: entry.description || undefined, boost: entry.required ? 1 : 0 };
}
