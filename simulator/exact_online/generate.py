"""Believable trade data: the same seed always makes the same divisions, records, keys and dates."""
import calendar
import random
import uuid

from . import books, clock, orders, placing, wide
from .catalogue import ACCOUNT, COSTCENTER, COSTUNIT, DOCUMENT_OF_LINE, GL, ITEM, LINE, ORDER, SET_OF
from .division import Division
from .words import (
    CHART,
    CITIES,
    COMPANIES,
    COSTCENTERS,
    COSTUNITS,
    FIRST,
    FORMS,
    GOODS,
    GROUPS,
    ITEM_WORDS,
    ODD_TEXTS,
    PAYMENT,
    PROJECTS,
    SHIPPING,
    SIZES,
    STAFF,
    STREETS,
    SUBJECTS,
    TRADES,
    VAT,
    WAREHOUSES,
)

LAST_DAY = calendar.timegm((2025, 10, 31, 17, 0, 0))    # nothing in the initial data is younger
SPAN = 900 * 86400                                       # nor older than this many seconds before
WEIGHTS = (1.4, 1.15, 1.0, 0.8, 0.65)


def _guid(rng):
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _past(rng, after=0):
    """A wall time in the data's span, later than `after` and during working hours."""
    moment = LAST_DAY - rng.randrange(SPAN)
    wall = clock.wall_of(moment - moment % 86400 + 7 * 3600 + rng.randrange(10 * 3600) + rng.randrange(1000) / 1000)
    return max(wall, after + 60_000)


def _day(wall, days=0):
    return f"/Date({wall // 86_400_000 * 86_400_000 + days * 86_400_000})/"


def _odd(rng, text, chance=0.03):
    """The text, now and then one that is hard to read."""
    return rng.choice(ODD_TEXTS) if rng.random() < chance else text


def _amount(rng, low, high):
    """A price; some carry the noise of binary floating point, few are tiny."""
    draw = rng.random()
    if draw < 0.01:
        return 1e-05
    if draw < 0.03:
        return 0.1 + 0.2
    if draw < 0.15:
        return rng.randint(int(low) + 1, int(high))
    value = rng.uniform(low, high)
    return round(value, 2) if draw < 0.8 else round(value, 3) * 1.1


def split(records, divisions):
    """Records per division, uneven and adding up."""
    weights = [WEIGHTS[i % len(WEIGHTS)] for i in range(divisions)]
    spare = records - 40 * divisions
    parts = [40 + int(spare * w / sum(weights)) for w in weights]
    parts[0] += records - sum(parts)
    return parts


def _shares(n):
    shares = {COSTCENTER: min(max(round(n * 0.025), 3), 300), COSTUNIT: min(max(round(n * 0.015), 2), 200),
              GL: min(max(round(n * 0.08), 8), 600), ITEM: max(round(n * 0.17), 5), ACCOUNT: max(round(n * 0.15), 5)}
    rest = n - sum(shares.values())
    shares[ORDER] = max(round(rest * 0.28), 4)
    shares[LINE] = rest - shares[ORDER]
    return shares


def divisions(settings, the_clock, weather=None):
    """{code: Division} with all records."""
    staff_rng = random.Random(f"staff {settings.seed}")
    staff = {_guid(staff_rng): name for name in STAFF}
    names = dict(staff)     # one for all divisions; users of the API join it
    made = {}
    for i, n in enumerate(split(settings.records, settings.divisions)):
        code = 101001 * (i + 1)
        rng = random.Random(f"{settings.seed} {code}")
        division = Division(code, _company(rng, i, staff, names), rng, the_clock, settings)
        division.weather = weather
        _fill(division, rng, _shares(n))
        placing.generate(division, settings.documents, "start")
        made[code] = division
    return made


def _company(rng, i, staff, names):
    name, country, city, postcode, street, vat = COMPANIES[i % len(COMPANIES)]
    if i >= len(COMPANIES):
        name = f"{name} ({i // len(COMPANIES) + 1})"
    created = _past(rng) - 700 * 86_400_000
    return {
        "description": name, "country": country, "city": city, "postcode": postcode, "street": street, "vat": vat,
        "staff": staff,
        "names": names,
        "customer": _guid(rng), "created": created, "status": 1, "blocking_status": 0,
        "licence": i // 4, "hid": str(2**31 + rng.randrange(10**6)), "move_date": None,
        "hr_link_date": None if i % 2 else clock.date_text(created + 86_400_000),
        "groups": {_guid(rng): group for group in GROUPS}, "projects": {_guid(rng): project for project in PROJECTS},
        "shipping": [(_guid(rng), *s) for s in SHIPPING], "warehouses": [(_guid(rng), *w) for w in WAREHOUSES]}


def _fill(division, rng, shares):
    """Records of all entities in the order in which a company would make them, then their row versions by date of
    change."""
    staff = list(division.info["staff"])

    def add(entity, values):
        wall = _past(rng)
        record = division.insert(entity, values, rng.choice(staff), wall=wall)
        if rng.random() < 0.4:
            division.stamp_user(record, rng.choice(staff), _past(rng, wall))
        return record

    for i in range(shares[COSTCENTER]):
        name = COSTCENTERS[i % len(COSTCENTERS)] + ("" if i < len(COSTCENTERS) else f" {i // len(COSTCENTERS) + 1}")
        ended = rng.random() < 0.08
        add(COSTCENTER, {"Code": f"{4700 + i}" if i % 3 else f"KP{i:03d}", "Description": _odd(rng, name)[:60],
                         "Active": not ended,
                         "EndDate": _day(_past(rng)) if ended else None})
    for i in range(shares[COSTUNIT]):
        name = COSTUNITS[i % len(COSTUNITS)] + ("" if i < len(COSTUNITS) else f" {i // len(COSTUNITS) + 1}")
        add(COSTUNIT,
            {"Code": f"D{i + 1:03d}", "Description": _odd(rng, name)[:60],
             "EndDate": _day(_past(rng)) if rng.random() < 0.05 else None})
    for code, description, kind, side, balance in _chart(rng, shares[GL]):
        add(GL, gl_values(division, rng, code, description, kind, side, balance))
    for i in range(shares[ITEM]):
        add(ITEM, item_values(division, rng, i))
    for i in range(shares[ACCOUNT]):
        add(ACCOUNT, account_values(division, rng, i))
    _orders(division, rng, shares[ORDER], shares[LINE], staff)
    if division.settings.preset != "orders":
        books.fill(division, rng, _past)
    wide.fill(division, _past)
    sets = [entity for entity in division.records if SET_OF.get(entity, entity) in division.feeds
            and entity not in DOCUMENT_OF_LINE]
    records = [(books.last_change(r), r) for entity in sets for r in division.records[entity].values()]
    for last, record in sorted(records, key=lambda pair: pair[0]):
        division.touch(record, *record.lines)
        division.stamp_times[-1] = (last, division.stamp)


def _chart(rng, n):
    """`n` GL accounts: the chart, then subdivided accounts."""
    picked = list(CHART[:n]) if n <= len(CHART) else list(CHART)
    taken = {line[0] for line in picked}
    while len(picked) < n:
        code, description, kind, side, balance = rng.choice(CHART)
        code = str(int(code) + rng.randrange(1, 100)).zfill(4) if rng.random() < 0.8 else code + str(rng.randrange(10,
                                                                                                                   100))
        if code not in taken:
            taken.add(code)
            picked.append((code, f"{description} – {rng.choice(SUBJECTS)}", kind, side, balance))
    return picked


def _some_code(division, rng, entity, chance):
    if rng.random() >= chance or not division.keys[entity]:
        return None
    return division.records[entity][rng.choice(division.keys[entity])].values["Code"]


def gl_values(division, rng, code, description, kind, side, balance):
    costs = balance == "W" and kind in (120, 121, 125)
    return {
        "Code": code, "Description": _odd(rng, description), "SearchCode": description.upper()[:12], "Type": kind,
        "BalanceSide": side,
        "BalanceType": balance, "Compress": rng.random() < 0.1, "Matching": kind in (90, 20, 22),
        "IsBlocked": rng.random() < 0.03,
        "UseCostcenter": 1 if costs and rng.random() < 0.3 else 0 if balance == "W" else 2,
        "UseCostunit": 0 if balance == "W" else 2,
        "Costcenter": _some_code(division, rng, COSTCENTER, 0.4 if costs else 0),
        "Costunit": _some_code(division, rng, COSTUNIT, 0.1 if costs else 0),
        "VATCode": rng.choice(list(VAT)) if costs else None, "VATSystem": "N" if costs else None,
        "PrivatePercentage": rng.choice((0.75, 0.1 + 0.2)) if rng.random() < 0.04 else None,
        "ReportingCode": f"W{code}" if rng.random() < 0.5 else None, "RevalueCurrency": rng.random() < 0.1,
        "ExcludeVATListing": 0, "AllowCostsInSales": 1 if kind == 111 else 0}


def item_values(division, rng, i):
    noun, size = GOODS[i % len(GOODS)], SIZES[(i // len(GOODS) + i) % len(SIZES)]
    cost = _amount(rng, 0.04, 480)
    service = noun in ("Montage", "Advies")
    stock = 0 if service else number_of(rng)
    unit = rng.choice(("hour", "day") if service else ("pc",) * 8 + ("box", "m", "kg", "l", "pallet"))
    gl = division.codes[GL]
    values = {
        "Code": f"{noun[:3].upper()}-{1000 + i}", "Description": _odd(rng, f"{noun} {size} {rng.choice(ITEM_WORDS)}"),
        "SearchCode": noun.upper()[:12],
        "ExtraDescription": _odd(rng, f"Verpakt per {rng.choice((1, 10, 25, 100))}", 0.1) if rng.random() < 0.3
        else None,
        "CostPriceStandard": cost, "CostPriceNew": cost if rng.random() < 0.2 else None, "CostPriceCurrency": "EUR",
        "AverageCost": cost * 1.03,
        "StandardSalesPrice": cost * rng.choice((1.25, 1.4, 1.75)), "Unit": unit, "IsPurchaseItem": True,
        "IsSalesItem": rng.random() < 0.9,
        "IsStockItem": not service and rng.random() < 0.9, "IsFractionAllowedItem": rng.random() < 0.2,
        "IsSerialItem": rng.random() < 0.04,
        "IsBatchItem": int(rng.random() < 0.05), "IsWebshopItem": int(rng.random() < 0.3),
        "ItemGroup": rng.choice(list(division.info["groups"])),
        "SalesVatCode": rng.choice(("1", "2", "2", "VB")),
        "Barcode": f"87{rng.randrange(10**10, 10**11)}" if rng.random() < 0.7 else None,
        "NetWeight": round(rng.uniform(0.001, 40), 3), "NetWeightUnit": "kg",
        "GrossWeight": round(rng.uniform(0.01, 44), 3),
        "Stock": stock,
        "GLCosts": gl["7000"].key if "7000" in gl else None, "GLRevenue": gl["8000"].key if "8000" in gl else None,
        "GLStock": gl["3000"].key if "3000" in gl else None,
        "StartDate": _day(_past(rng)), "EndDate": _day(_past(rng)) if rng.random() < 0.03 else None,
        "SecurityLevel": 10,
        "StatisticalCode": f"{rng.randrange(10**7, 10**8)}" if rng.random() < 0.3 else None,
        "Notes": rng.choice(ODD_TEXTS) if rng.random() < 0.05 else None}
    if rng.random() < 0.15:
        values.update(FreeTextField_01=rng.choice(ODD_TEXTS), FreeNumberField_01=rng.uniform(0, 1),
                      FreeDateField_01=f"/Date({_past(rng)})/",
                      FreeBoolField_01=True, Class_01=rng.choice("ABC"))
    return values


def number_of(rng):
    """A stock quantity: mostly whole, sometimes negative or fractional."""
    return rng.choice((0, rng.randrange(1, 4000), rng.randrange(1, 200), -rng.randrange(1, 9),
                       round(rng.uniform(0, 90), 3)))


def account_values(division, rng, i):
    country = rng.choice((division.info["country"],) * 6 + ("NL", "BE", "DE", "FR", "PL", "US"))
    city, postcode = rng.choice(CITIES[country])
    name = f"{rng.choice(FIRST)} {rng.choice(TRADES)} {rng.choice(FORMS[country])}"
    supplier = i % 3 != 0
    language = {"NL": "NL", "BE": rng.choice(("NL-BE", "FR")), "DE": "DE", "FR": "FR"}.get(country, "EN")
    slug = "".join(c for c in name.lower() if c.isascii() and c.isalnum())[:18]
    return {
        "Code": f"{i + 2:07d}" if i % 5 == 3 else str(10 + i) if i % 7 else str(40000 + i), "Name": _odd(rng, name),
        "SearchCode": slug.upper()[:14],
        "AddressLine1": f"{rng.choice(STREETS)} {rng.randrange(1, 400)}",
        "AddressLine2": rng.choice(ODD_TEXTS) if rng.random() < 0.02 else None, "City": city, "Postcode": postcode,
        "Country": country,
        "Language": language,
        "Email": f"info@{slug}.example", "Phone": f"+31 {rng.randrange(10, 99)} {rng.randrange(10**6, 10**7)}",
        "Website": f"https://www.{slug}.example",
        "VATNumber": f"{country}{rng.randrange(10**8, 10**9)}B01",
        "ChamberOfCommerce": str(rng.randrange(10**7, 10**8)),
        "IsSupplier": supplier,
        "IsPurchase": supplier, "IsSales": not supplier or rng.random() < 0.2, "Status": "C" if not supplier else None,
        "Type": "A",
        "PaymentConditionPurchase": rng.choice(list(PAYMENT)), "PaymentConditionSales": rng.choice(list(PAYMENT)),
        "AccountManager": rng.choice(list(division.info["staff"])),
        "PurchaseCurrency": rng.choice(("EUR", "EUR", "EUR", "EUR", "USD", "GBP", "JPY")) if supplier else None,
        "SalesCurrency": "EUR",
        "PurchaseVATCode": "2" if supplier else None, "SalesVATCode": rng.choice(("2", "VB")),
        "CreditLineSales": _amount(rng, 1000, 50000) if rng.random() < 0.3 else None,
        "DiscountPurchase": rng.choice((0.0125, 0.1 + 0.2)) if rng.random() < 0.05 else 0,
        "Latitude": rng.uniform(48, 54) if rng.random() < 0.4 else None,
        "Longitude": rng.uniform(3, 13) if rng.random() < 0.4 else None,
        "Costcenter": _some_code(division, rng, COSTCENTER, 0.05),
        "PurchaseLeadDays": rng.randrange(1, 30),
        "StartDate": _day(_past(rng)), "Blocked": rng.random() < 0.02, "IsMailing": int(rng.random() < 0.4),
        "SecurityLevel": 10,
        "Source": 1,
        "CodeAtSupplier": f"K{rng.randrange(10**5)}" if supplier and rng.random() < 0.3 else None,
        "Remarks": rng.choice(ODD_TEXTS) if rng.random() < 0.06 else None}


def line_values(division, rng, items):
    """What a buyer types for one order line."""
    item = rng.choice(items)
    return {
        "Item": item.key, "QuantityInPurchaseUnits": rng.choice((1, 2, 5, 10, 25, 100, 250, 0.5, 12.75,
                                                                 round(rng.uniform(0.1, 9), 3))),
        "UnitPrice": item.values.get("CostPriceStandard", 0) if rng.random() < 0.7 else _amount(rng, 0.1, 900),
        "Discount": rng.choice((0, 0, 0, 0.05, 0.1, 0.3)),
        "VATCode": rng.choice(("2", "2", "1", "5", "VB", "0")),
        "CostCenter": _some_code(division, rng, COSTCENTER, 0.7),
        "CostUnit": _some_code(division, rng, COSTUNIT, 0.3),
        "Project": rng.choice(list(division.info["projects"])) if rng.random() < 0.1 else None,
        "Notes": rng.choice(ODD_TEXTS) if rng.random() < 0.04 else None}


def order_values(division, rng, suppliers):
    """What a buyer types for an order header."""
    return {
        "Supplier": rng.choice(suppliers).key,
        "Description": _odd(rng, f"Bestelling {rng.choice(SUBJECTS)}") if rng.random() < 0.8 else None,
        "YourRef": f"OFF-{rng.randrange(1000, 9999)}" if rng.random() < 0.5 else None,
        "PaymentCondition": rng.choice(list(PAYMENT)),
        "PurchaseAgent": rng.choice(list(division.info["staff"])),
        "Warehouse": rng.choice(division.info["warehouses"])[0],
        "ShippingMethod": rng.choice(division.info["shipping"])[0] if rng.random() < 0.5 else None,
        "Remarks": rng.choice(ODD_TEXTS) if rng.random() < 0.04 else None}


def _orders(division, rng, headers, lines, staff):
    suppliers = [r for r in division.records[ACCOUNT].values() if r.values.get("IsSupplier")]
    items = list(division.records[ITEM].values())
    counts = [1] * headers
    for _ in range(lines - headers):
        counts[rng.randrange(headers)] += 1
    walls = sorted(_past(rng) for _ in range(headers))
    for wall, count in zip(walls, counts):
        values = order_values(division, rng, suppliers)
        values["OrderDate"] = _day(wall)
        values["ReceiptDate"] = _day(wall, rng.randrange(2, 40))
        values["OrderStatus"] = values["ReceiptStatus"] = rng.choice((10, 20, 30, 30, 30))
        values["ApprovalStatus"] = rng.choice((0, 2, 3))
        order = orders.create(division, values, [line_values(division, rng, items) for _ in range(count)],
                              rng.choice(staff), wall=wall,
                              touch=False)
        if values["OrderStatus"] == 30:
            for line in order.lines:
                line.values["ReceivedQuantity"] = line.values["Quantity"]
            order.values["ApprovalStatus"], order.values["Approver"] = 3, staff[0]
            order.values["Approved"] = f"/Date({wall + 3_600_000})/"
            division.stamp_user(order, rng.choice(staff), _past(rng, wall))
