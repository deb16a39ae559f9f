"""The one blueprint that all page views hang in."""

from flask import Blueprint

pages = Blueprint("pages", __name__)
