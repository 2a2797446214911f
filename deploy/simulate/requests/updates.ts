import { statusOf } from './invoices.ts';
import { changed, refused, refusedAnyway, uniqueName, workingOn } from './operation-model.ts';

const updateCustomer = workingOn(({ customers }) => customers, {
  weight: 3,
  madeBy: 'createCustomer',
  notFound: [404, 'customer_not_found'],
  body(customer, _, books, random) {
    const { pick, chance } = random;
    const taken = [...books.customers.values()].flatMap(({ reference }) => reference ?? []);
    const reference = uniqueName(books, random, taken, (number) => `CRM-${number}`);
    const changes = {
      ...(chance(0.5) && { name: pick(['Customer', 'Customer Ltd']) }),
      ...(chance(0.5) && { email: pick(['payables@customer.test', null]) }),
      ...(chance(0.4) && { externalReference: pick([reference, reference, customer?.reference ?? reference, null]) }),
      ...(chance(0.3) && { metadata: pick([{ room: '12', floor: '3' }, null]) }),
    };
    return Object.keys(changes).length > 0 ? changes : { name: 'Customer' };
  },
  answer(customer, { target, body }, { customers }) {
    const { externalReference, ...members } = body;
    const reference: string | null | undefined = externalReference;
    const others = [...customers.values()].filter((one) => one !== customer);
    if (reference != null && others.some((one) => one.reference === reference)) {
      return refused(409, 'customer_reference_taken');
    }
    const freed = customer.reference;
    return changed(
      () => {
        Object.assign(customer, members);
        if (reference !== undefined) customer.reference = reference ?? undefined;
      },
      ...[target, reference, reference === undefined ? undefined : freed].flatMap((name) => name ?? []),
    );
  },
});

const updateInventoryItem = workingOn(({ items }) => items, {
  weight: 2,
  madeBy: 'createInventoryItem',
  notFound: [404, 'inventory_item_not_found'],
  body(item, _, books, random) {
    const { pick, chance } = random;
    const skus = [...books.items.values()].map((one) => one.sku);
    const sku = uniqueName(books, random, skus, (number) => `SKU-${number}`);
    const changes = {
      ...(chance(0.6) && { name: pick(['Desk lamp', 'Reading lamp']) }),
      ...(chance(0.5) && { sku: pick([sku, sku, item?.sku ?? sku]) }),
    };
    return Object.keys(changes).length > 0 ? changes : { name: 'Desk lamp' };
  },
  answer(item, { target, body }, { items }) {
    const others = [...items.values()].filter((one) => one !== item);
    if (others.some(({ sku }) => sku === body.sku)) return refused(409, 'sku_taken');
    const freed = item.sku;
    return changed(() => Object.assign(item, body), target, ...(body.sku === undefined ? [] : [body.sku, freed]));
  },
});

const discardInvoice = workingOn(({ invoices }) => invoices, {
  weight: 2,
  fits: (invoice) => statusOf(invoice) === 'draft',
  madeBy: 'createInvoice',
  notFound: [404, 'invoice_not_found'],
  body: (_, _id, _books, { chance }) => (chance(0.5) ? { reason: 'Made twice' } : {}),
  answer(invoice, { target }) {
    if (statusOf(invoice) !== 'draft') return refusedAnyway(409, 'invoice_not_draft');
    return changed(() => {
      invoice.isDiscarded = true;
    }, target);
  },
});

export const UPDATES = { updateCustomer, updateInventoryItem, discardInvoice };
