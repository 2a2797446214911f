import { render } from 'preact';
import { App } from './app.tsx';
import { watchSession } from './session.ts';
import './style.css';

watchSession(() => render(null, document.body));
render(<App />, document.body);
