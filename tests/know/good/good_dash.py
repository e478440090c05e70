"""A Dash app as it should be."""

from dash import Dash, Input, Output, dcc, html

dash = Dash(__name__)
dash.layout = html.Div([dcc.Input(id="name"), html.P(id="hello")])


@dash.callback(Output("hello", "children"), Input("name", "value"))
def hello(name):
    return f"Hello {name}"


app = dash.server
