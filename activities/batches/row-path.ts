import type { Operation } from '../operation.ts';
import { jsonPointer, type ProblemPointer } from '../problem.ts';

type Params = Readonly<Record<string, unknown>>;

/** The path to which a row would be sent alone. Its parameters have no {@link pathProblems}. */
export function pathOf(operation: Operation, params: Params): string {
  return operation.path.replace(PARAMETER, (_, name: string) => encodeURIComponent(String(params[name])));
}

/** What cannot stand in the path of the operation, whatever its schema says of it. */
export function pathProblems(operation: Operation, params: Params): ProblemPointer[] {
  const { path, params: schema } = operation;
  const tell = (name: string, message: string): ProblemPointer => ({
    in: 'path',
    pointer: jsonPointer([name]),
    message,
  });
  return [
    ...Object.keys(params)
      .filter((name) => !Object.hasOwn(schema.shape, name))
      .map((name) => tell(name, `the path ${path} has no parameter ${name}`)),
    ...[...path.matchAll(PARAMETER)]
      .map(([, name = '']) => name)
      .filter((name) => !isSegment(Object.hasOwn(params, name) ? params[name] : undefined))
      .map((name) => tell(name, `the path ${path} requires a string for ${name}`)),
  ];
}

const PARAMETER = /:(\w+)/g;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** URL parsers remove "." and ".." from paths, and half of a surrogate pair has no UTF-8. */
function isSegment(value: unknown): boolean {
  return typeof value === 'string' && !['', '.', '..'].includes(value) && !LONE_SURROGATE.test(value);
}
