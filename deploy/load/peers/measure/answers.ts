import type { PooledHttp } from '../../../cli/pooled-http.ts';

/** The IDs of the payments with which each key was answered; an empty set for a key that was sent and never answered. */
export type Answers = ReadonlyMap<string, ReadonlySet<string>>;

/** Keeps the answers of everything that is sent through it, to compare them with the database. */
export function keepAnswers(http: PooledHttp): PooledHttp & { readonly answers: Answers } {
  const answers = new Map<string, Set<string>>();
  return {
    answers,
    async send(request) {
      const { key } = request;
      if (key === undefined) return http.send(request);
      const ids = answers.get(key) ?? new Set();
      answers.set(key, ids);
      const answer = await http.send(request);
      if (answer.status === 200 || answer.status === 201) ids.add((JSON.parse(answer.text) as { id: string }).id);
      return answer;
    },
    close: () => http.close(),
  };
}
