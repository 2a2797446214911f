/** The files that name images which others have made. */
export const FILES_WITH_IMAGES = [
  'deploy/Dockerfile',
  'deploy/compose.yaml',
  '.github/workflows/supply-chain.yml',
] as const;

/** Made here, so that there is nothing to pin. */
const OURS = /^accubooks(:|$)/;

const IMAGE = String.raw`([a-z0-9][\w./-]*:[\w.-]+)(?:@sha256:([0-9a-f]{64}))?`;
const REFERENCES = [
  new RegExp(String.raw`^FROM ${IMAGE}(?:\s|$)`, 'gm'),
  new RegExp(String.raw`^ *image: ${IMAGE}\s*$`, 'gm'),
  // In a workflow's command.
  new RegExp(String.raw`\bSCANNER: ${IMAGE}\s*$`, 'gm'),
];

/**
 * What is wrong with the images that a file names, in words: one that is not pinned, one that is named without the digest that
 * is known, or with another.
 */
export function imageFaults(text: string, pins: Readonly<Record<string, string | null>>): string[] {
  return imagesIn(text).flatMap(({ image, digest }) => {
    const pinned = pins[image];
    if (pinned === undefined) return [`${image} is not among the pinned images`];
    if (pinned === digest) return [];
    return [
      pinned === null ? `${image} has a digest that is not pinned` : `${image} is not named by its digest ${pinned}`,
    ];
  });
}

export function imagesIn(text: string): { readonly image: string; readonly digest: string | null }[] {
  return REFERENCES.flatMap((pattern) =>
    [...text.matchAll(pattern)].map(([, image = '', digest]) => ({ image, digest: digest ?? null })),
  ).filter(({ image }) => !OURS.test(image));
}
