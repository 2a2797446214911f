import { z } from 'zod';
import { amount, name } from '../fields.ts';
import { PAY_FREQUENCIES } from '../resources/employee.ts';

const MAX_DEDUCTIONS = 20;

/** The members of an employee's terms in request bodies. */
export const payFrequency = () => z.enum(PAY_FREQUENCIES);
export const deductions = () =>
  z.array(z.strictObject({ name: name(), amount: amount(), preTax: z.boolean() })).max(MAX_DEDUCTIONS);
