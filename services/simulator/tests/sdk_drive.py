"""Drives the official Kingdee Python SDK, unmodified, through one document's life.

Usage: sdk_drive.py URL ACCT USER APP_ID APP_SECRET

Prints one JSON object: step name -> reply, parsed with its numbers kept as text.
"""

import json
import sys

from k3cloud_webapi_sdk.main import K3CloudApiSdk

FORM = "STK_MISCELLANEOUS"


def model(number, material, quantity):
    return {
        "FBillNo": number,
        "FBillTypeID": {"FNUMBER": "QTRKD01_SYS"},
        "FStockOrgId": {"FNumber": "109"},
        "FDate": "2024-03-14",
        "FEntity": [
            {"FMATERIALID": {"FNumber": material}, "FSTOCKID": {"FNumber": "CK01"}, "FQty": quantity, "FEntryNote": '2 3/4" x 5"'}
        ],
    }


def main(url, account, user, app_id, secret):
    sdk = K3CloudApiSdk(url)
    sdk.InitConfig(account, user, app_id, secret, url, 2052, 0)
    replies = {}

    def keep(step, text):
        if not isinstance(text, str):
            raise RuntimeError(f"{step}: the SDK returned {text!r}")
        replies[step] = json.loads(text, parse_float=str)
        return replies[step]

    query = {
        "FormId": FORM,
        "FieldKeys": "FID,FBillNo,FDocumentStatus,FDate,FMATERIALID.FNumber,FQty,FEntity_FSeq,FEntryNote",
        "FilterString": "FBillNo like 'SDK%'",
        "OrderString": "FBillNo ASC",
        "TopRowCount": 0,
        "StartRow": 0,
        "Limit": 2000,
    }
    keep("data_centers", sdk.GetDataCenters())
    keep("nothing", sdk.ExecuteBillQuery(query))
    keep("save", sdk.Save(FORM, {"Model": model("SDK-1", "M1", "12.50"), "IsVerifyBaseDataField": True}))
    keep(
        "batch_save",
        sdk.BatchSave(
            FORM,
            {
                "Model": [model("SDK-2", "M1", 3), model("SDK-1", "M1", 1), model("SDK-3", "NONE", 1), model("SDK-4", "M2", "0.1")],
                "IsVerifyBaseDataField": True,
                "BatchCount": 5,
            },
        ),
    )
    keep("polled", sdk.BatchSaveQuery(FORM, {"Model": [model("SDK-5", "M2", 7)], "IsAutoSubmitAndAudit": True}))
    keep("submit", sdk.Submit(FORM, {"Numbers": ["SDK-4", "SDK-2", "SDK-1", "NOT-THERE"]}))
    keep("audit", sdk.Audit(FORM, {"Numbers": ["SDK-1", "SDK-5"]}))
    keep("query", sdk.ExecuteBillQuery(query))
    keep("bill_query", sdk.BillQuery({**query, "FieldKeys": "FBillNo,FMATERIALID.FNumber", "Limit": 1}))
    keep("bad_query", sdk.ExecuteBillQuery({**query, "FieldKeys": "FNothing"}))
    keep("view", sdk.View(FORM, {"Number": "SDK-1"}))
    keep("view_unknown", sdk.View(FORM, {"Number": "NOT-THERE"}))
    keep("delete_refused", sdk.Delete(FORM, {"Numbers": ["SDK-1"]}))
    keep("cancel", sdk.CancelAssign(FORM, {"Numbers": ["SDK-2"]}))
    keep("delete", sdk.Delete(FORM, {"Numbers": ["SDK-2"]}))
    keep("unaudit", sdk.UnAudit(FORM, {"Numbers": ["SDK-5"]}))
    keep("forbid", sdk.ExcuteOperation("BD_MATERIAL", "Forbid", {"Numbers": ["M2"]}))
    keep("info", sdk.QueryBusinessInfo({"FormId": FORM}))
    keep("left", sdk.ExecuteBillQuery({**query, "FieldKeys": "FBillNo,FDocumentStatus"}))

    stranger = K3CloudApiSdk(url)
    stranger.InitConfig(account, user, app_id, "0" * 32, url, 2052, 0)
    keep("stranger", stranger.ExecuteBillQuery(query))
    lost = K3CloudApiSdk(url)
    lost.InitConfig("no-such-account", user, app_id, secret, url, 2052, 0)
    try:
        lost.ExecuteBillQuery(query)
        replies["unknown_account"] = "answered"
    except RuntimeError as error:
        replies["unknown_account"] = str(error)
    json.dump(replies, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
