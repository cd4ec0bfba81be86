"""Purchase orders: amounts from quantities and prices, and the rule that one change moves the whole order.

Amounts are plain binary floating point on purpose: sums carry the same noise as those of the real service.
"""
from .catalogue import ACCOUNT, ITEM, LINE, ORDER, number
from .words import ALL_VAT, CURRENCIES

AMOUNTS = {"UnitPrice", "NetPrice", "Quantity", "QuantityInPurchaseUnits", "VATCode", "VATPercentage", "Currency",
           "Rate", "ExchangeRate"}


def unsettle(record, values=None, lines=None):
    """A document whose amounts stand as they were made (`_stands`) is computed like any other from now on: always, or
    when a change of values and lines is one of amounts."""
    def moves(change):
        return "ID" not in change or change.get("delete") or any(
            "Amount" in name or "Discount" in name or name in AMOUNTS for name in change)

    header = record.header or record
    if values is None or moves({"ID": None, **values}) or any(map(moves, lines or ())):
        for each in (header, header.entry):
            if each is not None and "_stands" in each.values:
                del each.values["_stands"]
                each.values.pop("_off", None)


def net_price(line, given):
    """Net price of a line whose fields `given` were just set; a given NetPrice wins over price and discount."""
    v = line.values
    if "NetPrice" in given and "UnitPrice" not in given and "Discount" not in given:
        price = v.get("UnitPrice") or 0
        v["Discount"] = number(1 - (v.get("NetPrice") or 0) / price) if price else 0
    else:
        v["NetPrice"] = number((v.get("UnitPrice") or 0) * (1 - (v.get("Discount") or 0)))


def _price(line, given):
    """Net price and VAT of a line whose fields `given` were just set."""
    net_price(line, given)
    v = line.values
    if "VATPercentage" not in given:
        v["VATPercentage"] = ALL_VAT.get((v.get("VATCode") or "").strip(), ("", 0.0))[1]


def recompute(order):
    """Amounts of the lines and their sums in the header."""
    if order.values.get("_stands"):
        return
    rate = order.values.get("ExchangeRate") or 1
    for line in order.lines:
        v = line.values
        v["Quantity"] = v.get("QuantityInPurchaseUnits") or 0
        v["AmountFC"] = number(float((v.get("NetPrice") or 0) * v["Quantity"]))
        v["AmountDC"] = number(float(v["AmountFC"] * rate))
        v["VATAmount"] = number(float(v["AmountFC"] * (v.get("VATPercentage") or 0)))
    total = {name: sum((line.values[name] for line in order.lines), 0.0)
             for name in ("AmountFC", "AmountDC", "VATAmount")}
    gross = sum(((line.values.get("UnitPrice") or 0) * (line.values.get("Quantity") or 0) for line in order.lines), 0.0)
    h = order.values
    h.update((name, number(amount)) for name, amount in total.items())
    h["AmountFCExclVat"] = h["AmountFC"]
    h["AmountDiscountExclVat"] = h["AmountDiscount"] = number(gross - total["AmountFC"])
    h["PurchaseOrderLineCount"] = len(order.lines)


def _new_line(division, order, values, user, key=None, wall=None):
    item = division.records[ITEM].get(values.get("Item"))
    if item is None:
        raise ValueError("Ongeldige verwijzing: Artikel")
    v = {"UnitPrice": item.values.get("CostPriceStandard", 0), "Discount": 0, "VATCode": "2  ",
         "Description": item.values.get("Description"),
         "QuantityInPurchaseUnits": 1, "ReceivedQuantity": 0, "InvoicedQuantity": 0,
         "ReceiptDate": order.values.get("ReceiptDate"),
         "Unit": (item.values.get("Unit") or "").strip() or None, "Rebill": False}
    v.update((k, x) for k, x in values.items() if x is not None)
    v["PurchaseOrderID"] = order.key
    v["LineNumber"] = max((line.values["LineNumber"] for line in order.lines), default=0) + 1
    line = division.insert(LINE, v, user, key, wall)
    line.header = order
    order.lines.append(line)
    _price(line, set(values))
    return line


def create(division, values, lines, user, key=None, wall=None, touch=True):
    """A purchase order with its lines. ValueError with the service's text when supplier, lines or items are missing."""
    supplier = division.records[ACCOUNT].get(values.get("Supplier"))
    if supplier is None:
        raise ValueError("Ongeldige verwijzing: Leverancier" if values.get("Supplier") else "Verplicht: Leverancier")
    if not lines:
        raise ValueError("Verplicht: Inkooporderregels")
    for line in lines:
        if division.records[ITEM].get(line.get("Item")) is None:
            raise ValueError("Ongeldige verwijzing: Artikel" if line.get("Item") else "Verplicht: Artikel")
    currency = (values.get("Currency") or supplier.values.get("PurchaseCurrency") or "EUR").strip()
    today = (division.clock.wall() if wall is None else wall) // 86_400_000 * 86_400_000
    v = {"OrderDate": f"/Date({today})/", "ReceiptDate": f"/Date({today + 7 * 86_400_000})/", "OrderStatus": 10,
         "ReceiptStatus": 10, "InvoiceStatus": 10, "ApprovalStatus": 0, "Source": 10, "PaymentCondition": "30",
         "DropShipment": False,
         "ExchangeRate": CURRENCIES.get(currency, ("", 1))[1], "Warehouse": division.info["warehouses"][0][0],
         "Discount": 0}
    v.update((k, x) for k, x in values.items() if x is not None)
    v["Currency"] = currency
    if not v.get("OrderNumber"):
        v["OrderNumber"] = division.next_order
        division.next_order += 1
    order = division.insert(ORDER, v, user, key, wall)
    for line in lines:
        _new_line(division, order, line, user, wall=wall)
    recompute(order)
    if touch:
        division.touch(order, *order.lines)
    return order


def add_line(division, values, user, key=None):
    """One more line of an existing order."""
    order = division.records[ORDER].get(values.get("PurchaseOrderID"))
    if order is None:
        raise ValueError("Ongeldige verwijzing: Inkooporder" if values.get("PurchaseOrderID")
                         else "Verplicht: Inkooporder")
    unsettle(order)
    line = _new_line(division, order, values, user, key)
    _changed(division, order, user, line)
    return line


def _changed(division, order, user, first=None):
    """The order changed: sums, the header's Modified, and a new row version for each of its rows."""
    recompute(order)
    division.stamp_user(order, user)
    rows = [order, *order.lines]
    if first is not None and first in rows:
        rows.remove(first)
        rows.insert(0, first)
    division.touch(*rows)


def update(division, record, values, lines, user):
    """Change a header or a line; `lines` of a header are changes ({"ID": …}), removals ({"ID": …, "delete": true})
    or new lines."""
    unsettle(record, values, lines)
    if record.entity == LINE:
        division.assign(record, {k: v for k, v in values.items() if k not in ("PurchaseOrderID", "LineNumber")})
        division.stamp_user(record, user)
        _price(record, set(values))
        _changed(division, record.header, user, record)
        return
    first = None
    division.assign(record, values)
    for change in lines:
        change = dict(change)
        line = next((x for x in record.lines if x.key == change.get("ID")), None)
        if change.get("ID") and line is None:
            raise ValueError(f"no line {change['ID']} in this order")
        if change.pop("delete", False):
            division.remove(line, user, logged=True)
            continue
        if line is None:
            first = _new_line(division, record, change, user)
        else:
            change.pop("ID")
            division.assign(line, change)
            division.stamp_user(line, user)
            _price(line, set(change))
            first = line
    _changed(division, record, user, first)


def delete_line(division, line, user):
    """Remove a line; the rest of the order gets new row versions."""
    order = line.header
    unsettle(order)
    division.remove(line, user, logged=division.settings.deleted_keys != "header")
    _changed(division, order, user)
