"""Where images come from: each source delivers its files as published, one reader opens them all.

`deliver` fills `data/download` from the source that `params.download.source` names and says in a
`Contents` what lies where; `extraction` turns any `Contents` into containers of photographs. A source is
thus a function from its params to a filled folder: one that fetches over the network is another `case` of
`deliver.deliver`, fills the same folder under the same published names, and nothing after it changes.
"""
