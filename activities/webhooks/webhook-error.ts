/** Why a webhook could not be called, in words that its company may see. */
export class WebhookError extends Error {}
