/** The entry point of the bundle: exports every workflow type under its name. */
export { announceHeads } from './announce-heads.ts';
export { auditMaintenance } from './audit-maintenance.ts';
export { batch } from './batch.ts';
export { closeMonth } from './close-month.ts';
export { lane, poison } from './lane.ts';
export { scheduledAudit } from './scheduled-audit.ts';
export { sendInvoiceReminders } from './send-invoice-reminders.ts';
export { stampHeads } from './stamp-heads.ts';
export { webhooks } from './webhooks.ts';
export { write } from './write.ts';
export { writeGroup } from './write-group.ts';
