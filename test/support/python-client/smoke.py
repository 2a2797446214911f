"""Makes a payment with the client that was generated from /openapi.json, and prints as JSON what came of it.

The API's URL and a token are in ACCUBOOKS_URL and ACCUBOOKS_TOKEN.
"""

import json
import os
from datetime import date
from uuid import uuid4

from accubooks_client import AuthenticatedClient
from accubooks_client.api.customers import create_customer
from accubooks_client.api.invoices import create_invoice, finalize_invoice
from accubooks_client.api.payments import create_payment, get_payments
from accubooks_client.api.writes import get_write
from accubooks_client.models import (
    CreateCustomerBody,
    CreateInvoiceBody,
    CreateInvoiceBodyLinesItem,
    CreatePaymentBody,
    CreatePaymentBodyMethod,
    Customer,
    FinalizeInvoiceBody,
    Invoice,
    InvoiceStatus,
    Payment,
    Problem,
    ProblemNextAction,
    Write,
)

URL = os.environ["ACCUBOOKS_URL"]
client = AuthenticatedClient(base_url=URL, token=os.environ["ACCUBOOKS_TOKEN"])
# A request waits for its outcome at the service; the client waits longer.
client.get_httpx_client().timeout = 75
WAIT = "wait=60"


def key():
    return str(uuid4())


def parsed(response, expected):
    """The typed answer. Any other one ends the script."""
    if not isinstance(response.parsed, expected):
        raise SystemExit(f"{response.status_code}: {response.content.decode()}")
    return response.parsed


customer = parsed(
    create_customer.sync_detailed(
        client=client,
        body=CreateCustomerBody(name="Acme Ltd", currency="USD"),
        idempotency_key=key(),
        prefer=WAIT,
    ),
    Customer,
)
draft = parsed(
    create_invoice.sync_detailed(
        client=client,
        body=CreateInvoiceBody(
            customer_id=customer.id,
            currency="USD",
            issue_date=date(2026, 3, 2),
            due_date=date(2026, 4, 1),
            lines=[CreateInvoiceBodyLinesItem(description="Desk", quantity="2", unit_price=12500)],
        ),
        idempotency_key=key(),
        prefer=WAIT,
    ),
    Invoice,
)
invoice = parsed(
    finalize_invoice.sync_detailed(
        draft.id, client=client, body=FinalizeInvoiceBody(), idempotency_key=key(), prefer=WAIT
    ),
    Invoice,
)
assert invoice.status is InvoiceStatus.FINALIZED, invoice.status

payment_key = key()


def pay(amount, idempotency_key):
    body = CreatePaymentBody(
        invoice_id=invoice.id, amount=amount, currency="USD", method=CreatePaymentBodyMethod.CARD
    )
    return create_payment.sync_detailed(
        client=client, body=body, idempotency_key=idempotency_key, prefer=WAIT
    )


first, second = pay(10000, payment_key), pay(10000, payment_key)
rejected = pay(20000, key())
problem = parsed(rejected, Problem)
page = get_payments.sync(client=client, customer_id=customer.id)
write = parsed(get_write.sync_detailed(payment_key, client=client), Write)

print(
    json.dumps(
        {
            "statuses": [int(first.status_code), int(second.status_code), int(rejected.status_code)],
            "replayed": [answer.headers.get("idempotent-replayed") for answer in (first, second)],
            "same": parsed(first, Payment).id == parsed(second, Payment).id,
            "problem": {
                "code": problem.code,
                "isToBeCorrected": problem.next_action is ProblemNextAction.FIX_REQUEST,
                "pointers": [fault.pointer for fault in problem.errors],
            },
            "listed": [[payment.amount, payment.method] for payment in page.items],
            "write": write.state.value,
        }
    )
)
