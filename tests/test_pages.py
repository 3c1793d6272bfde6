from serlib import pages


def test_pages_link_to_each_other_and_hold_no_licensed_player(tmp_path):
    import nbformat

    player = nbformat.v4.new_output("display_data", {"text/html": '<audio src="data:audio/wav;base64,AAAA"></audio>'})
    noise = nbformat.v4.new_output("stream", name="stderr", text="I0000 00:00 cudart_stub.cc:31] no\nmind this\n")
    for corpus in ("tess", "mini"):
        cells = [
            nbformat.v4.new_markdown_cell("![gap](../figures/18_report/gap_tess.png)"),
            nbformat.v4.new_markdown_cell("<details><summary>Answer</summary>\n\nFolded.\n\n</details>"),
            nbformat.v4.new_markdown_cell(
                "[next](05_lstm.ipynb) [map](../README.md#the-course) [yaml](../report.yaml)"
            ),
            nbformat.v4.new_code_cell("play()", outputs=[player, noise]),
        ]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"papermill": {"parameters": {"corpus": corpus}}})
        nbformat.write(notebook, tmp_path / f"{corpus}.ipynb")
    pages.to_html({"04_cnn": tmp_path / "tess.ipynb", "05_lstm": tmp_path / "mini.ipynb"}, tmp_path / "pages")
    real, synthetic = ((tmp_path / "pages" / f"{name}.html").read_text() for name in ("04_cnn", "05_lstm"))
    assert "data:audio" not in real and "the recording is licensed" in real
    assert "data:audio" in synthetic
    assert 'href="05_lstm.html"' in real and 'href="index.html#The-course"' in real
    assert 'src="../' not in real and 'src="data:image/png;base64,' in real
    assert real.index("Folded.") < real.index("</details>"), "the answer stays inside its fold"
    assert "cudart_stub" not in real and "mind this" in real
    assert (tmp_path / "pages" / "index.html").exists()
