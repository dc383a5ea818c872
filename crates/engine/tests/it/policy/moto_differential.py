"""Asks moto's policy evaluator, one line of JSON per case on stdin, one answer per line on stdout.

A case has `policies` (documents as text), `action`, `resource` and `keys`. The way several policies make one decision is
moto's own: a denial ends it, a permission is kept until the end.
"""

import json
import sys

from moto.iam.access_control import IAMPolicy, PermissionResult


def decide(case):
    permitted = False
    for text in case["policies"]:
        result = IAMPolicy(text).is_action_permitted(
            case["action"], case["resource"], None, case["keys"]
        )
        if result == PermissionResult.DENIED:
            return "deny"
        permitted = permitted or result == PermissionResult.PERMITTED
    return "allow" if permitted else "deny"


def main():
    for line in sys.stdin.read().splitlines():
        try:
            answer = decide(json.loads(line))
        except Exception as error:  # an answer of its own: the case differs
            answer = f"fails: {type(error).__name__}"
        print(answer)


main()
