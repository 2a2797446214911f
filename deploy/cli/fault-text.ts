/** `422 validation_failed: The row is malformed.` */
export function faultLine({ status, code, detail }: Fault): string {
  return [[status, code].filter(Boolean).join(' '), detail].filter(Boolean).join(': ');
}

type Fault = {
  readonly status?: number | null | undefined;
  readonly code?: string | undefined;
  readonly detail?: string | undefined;
};

/** `/amount: Too small` */
export function pointerText({ pointer, message }: { readonly pointer?: string; readonly message?: string }): string {
  return [pointer, message].filter(Boolean).join(': ');
}
