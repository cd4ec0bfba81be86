"""Fields that the service fills from other records or from code tables when it reads a record.

They change without the record's Modified or row version moving, as they do in the real service.
"""
from . import joins_finance
from .catalogue import ACCOUNT, COSTCENTER, COSTUNIT, GL, ITEM, LINE, ORDER
from .words import ALL_VAT, COUNTRY_NAMES, CURRENCIES, GL_TYPES, LANGUAGES, PAYMENT, UNITS, VAT

# two slashes behind the host, as recorded
PICTURE = "https://start.exactonline.nl//docs/images/placeholder_item.png"
APPROVAL = {0: None, 1: "In afwachting van goedkeuring", 2: "Automatisch goedgekeurd", 3: "Goedgekeurd"}


def _text(table, code):
    return table.get(code.strip(), (None,))[0] if code else None


def _value(division, entity, key, name):
    record = division.records[entity].get(key) if key else None
    return record.values.get(name) if record else None


def _code_value(division, entity, code, name):
    record = division.by_code(entity, code) if code else None
    return record.values.get(name) if record else None


def _staff(division, v):
    names = division.info["names"]
    return {"CreatorFullName": names.get(v.get("Creator")), "ModifierFullName": names.get(v.get("Modifier"))}


def _gl(division, record):
    v = record.values
    return {**_staff(division, v),
            "CostcenterDescription": _code_value(division, COSTCENTER, v.get("Costcenter"), "Description"),
            "CostunitDescription": _code_value(division, COSTUNIT, v.get("Costunit"), "Description"),
            "TypeDescription": GL_TYPES.get(v.get("Type")), "VATDescription": _text(VAT, v.get("VATCode"))}


def _item(division, record):
    v = record.values
    unit = UNITS.get((v.get("Unit") or "").strip(), (None, None))
    group = division.info["groups"].get(v.get("ItemGroup"), (None, None))
    row = {**_staff(division, v), "UnitDescription": unit[0], "UnitType": unit[1], "ItemGroupCode": group[0],
           "ItemGroupDescription": group[1], "SalesVatCodeDescription": _text(VAT, v.get("SalesVatCode")),
           "PictureUrl": PICTURE, "PictureThumbnailUrl": PICTURE}
    for name in ("GLCosts", "GLRevenue", "GLStock"):
        row[name + "Code"] = _value(division, GL, v.get(name), "Code")
        row[name + "Description"] = _value(division, GL, v.get(name), "Description")
    return row


def _account(division, record):
    v = record.values
    names = division.info["names"]
    payment = PAYMENT.get
    return {**_staff(division, v), "AccountManagerFullName": names.get(v.get("AccountManager")),
            "CountryName": COUNTRY_NAMES.get((v.get("Country") or "").strip()),
            "LanguageDescription": LANGUAGES.get((v.get("Language") or "").strip()),
            "CostcenterDescription": _code_value(division, COSTCENTER, v.get("Costcenter"), "Description"),
            "InvoiceAccountCode": _value(division, ACCOUNT, v.get("InvoiceAccount"), "Code"),
            "InvoiceAccountName": _value(division, ACCOUNT, v.get("InvoiceAccount"), "Name"),
            "PaymentConditionPurchaseDescription": payment(v.get("PaymentConditionPurchase")),
            "PaymentConditionSalesDescription": payment(v.get("PaymentConditionSales")),
            "PurchaseCurrencyDescription": _text(CURRENCIES, v.get("PurchaseCurrency")),
            "SalesCurrencyDescription": _text(CURRENCIES, v.get("SalesCurrency")),
            "PurchaseVATCodeDescription": _text(VAT, v.get("PurchaseVATCode")),
            "SalesVATCodeDescription": _text(VAT, v.get("SalesVATCode"))}


def _cost(division, record):
    return _staff(division, record.values)


def _order(division, record):
    v, info = record.values, division.info
    warehouse = next((w for w in info["warehouses"] if w[0] == v.get("Warehouse")), (None, None, None))
    shipping = next((s for s in info["shipping"] if s[0] == v.get("ShippingMethod")), (None, None, None))
    return {**_staff(division, v), "SupplierCode": _value(division, ACCOUNT, v.get("Supplier"), "Code"),
            "SupplierName": _value(division, ACCOUNT, v.get("Supplier"), "Name"),
            "DeliveryAccountCode": _value(division, ACCOUNT, v.get("DeliveryAccount"), "Code"),
            "DeliveryAccountName": _value(division, ACCOUNT, v.get("DeliveryAccount"), "Name"),
            "WarehouseCode": warehouse[1], "WarehouseDescription": warehouse[2],
            "ShippingMethodCode": shipping[1], "ShippingMethodDescription": shipping[2],
            "PaymentConditionDescription": PAYMENT.get(v.get("PaymentCondition")),
            "PurchaseAgentFullName": info["names"].get(v.get("PurchaseAgent")),
            "ApproverFullName": info["names"].get(v.get("Approver")),
            "ApprovalStatusDescription": APPROVAL.get(v.get("ApprovalStatus"))}


def _line(division, record):
    v = record.values
    item = division.records[ITEM].get(v.get("Item"))
    i = item.values if item else {}
    project = division.info["projects"].get(v.get("Project"), (None, None))
    stock = i.get("Stock")
    return {**_staff(division, v), "ItemCode": i.get("Code"), "ItemDescription": i.get("Description"),
            "ItemBarcode": i.get("Barcode"),
            "ItemDivisable": i.get("IsFractionAllowedItem", False), "IsBatchNumberItem": i.get("IsBatchItem", 0),
            "IsSerialNumberItem": int(i.get("IsSerialItem", False)), "InStock": stock, "ProjectedStock": stock,
            "UnitDescription": UNITS.get((v.get("Unit") or "").strip(), (None,))[0],
            "VATDescription": _text(ALL_VAT, v.get("VATCode")),
            "CostCenterDescription": _code_value(division, COSTCENTER, v.get("CostCenter"), "Description"),
            "CostUnitDescription": _code_value(division, COSTUNIT, v.get("CostUnit"), "Description"),
            "ProjectCode": project[0], "ProjectDescription": project[1]}


JOINS = {GL: _gl, ITEM: _item, ACCOUNT: _account, COSTCENTER: _cost, COSTUNIT: _cost, ORDER: _order, LINE: _line,
         **joins_finance.JOINS}
