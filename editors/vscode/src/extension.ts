/** Creates and connects everything. No logic. */
import * as vscode from 'vscode';
import { Changes } from './changes';
import { chooseModel } from './choosing';
import { Doctor } from './doctor';
import { openExample } from './example';
import { History } from './history';
import { Installer } from './install';
import { onInterpreterChange, thisMachine } from './machine';
import { ACCEPTED, middleware } from './middleware';
import { NextEdits } from './nextEdit';
import { Painter } from './painter';
import { Pauses } from './pauses';
import { Preview } from './preview';
import { Requests } from './requests';
import { Server } from './server';
import type { Shown } from './status';
import { StatusItem, setContext } from './statusItem';

/** The extension's API: the status that it shows. */
export interface Api {
  readonly status: Shown;
}

let stop: () => Promise<void> = () => Promise.resolve();

export function activate(context: vscode.ExtensionContext): Api {
  const log = vscode.window.createOutputChannel('dgls', { log: true });
  const doctor = new Doctor();
  const installer = new Installer(context, log);
  const machine = () => thisMachine(installer.program);
  const pauses = new Pauses();
  const item = new StatusItem(pauses);
  const painter = new Painter();
  const preview = new Preview();
  const server: Server = new Server(
    machine,
    middleware(pauses, (document, position) => {
      nextEdits.suggested(document, position);
    }),
    log,
  );
  const nextEdits = new NextEdits(server, pauses, log);
  const requests = new Requests(server, log);
  const changes = new Changes(server, requests, preview, new History(context.globalState));
  const install = async (unasked: boolean) => {
    if (await installer.offer(unasked)) {
      await server.restart();
    }
  };

  const commands: [string, () => unknown][] = [
    ['dgls.rewriteSelection', () => changes.rewriteSelection()],
    ['dgls.refine', () => changes.refine()],
    ['dgls.fillHere', () => changes.fill(false)],
    ['dgls.fillAll', () => changes.fill(true)],
    [
      'dgls.cancel',
      () => {
        requests.cancel();
      },
    ],
    ['dgls.pause', () => pauses.choose()],
    ['dgls.resume', () => pauses.resume()],
    ['dgls.chooseModel', () => chooseModel(() => server.models())],
    ['dgls.restart', () => server.restart()],
    [
      'dgls.showLog',
      () => {
        log.show();
      },
    ],
    ['dgls.doctor', () => doctor.examine(machine())],
    ['dgls.install', () => install(false)],
    ['dgls.tryIt', () => openExample()],
    ['dgls.nextEdit', () => nextEdits.next()],
    ['dgls.nextEdit.tab', () => nextEdits.tab()],
    ['dgls.nextEdit.dismiss', () => nextEdits.dismiss()],
    ['dgls.preview.accept', () => preview.accept()],
    ['dgls.preview.discard', () => preview.discard()],
    ['dgls.preview.again', () => preview.again()],
    [
      ACCEPTED,
      () => {
        setContext('dgls.accepted', true);
      },
    ],
  ];
  context.subscriptions.push(
    ...[log, doctor, pauses, item, painter, preview, server, requests, nextEdits],
    ...commands.map(([name, run]) => vscode.commands.registerCommand(name, run)),
    server.onLife((life) => {
      item.follow(life);
      if (life.at === 'failed' && life.remedy !== 'install') {
        void complain(item.shown);
      }
    }),
    server.onDraft((draft) => {
      painter.take(draft);
    }),
    server.onSuggested((last) => {
      item.suggested(last);
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => server.restart()),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('dgls.server.path')) {
        void server.restart();
      } else if (event.affectsConfiguration('dgls')) {
        void server.settingsChanged();
      }
    }),
  );
  stop = () => server.stop();

  void server.restart().then(() => {
    if (server.life.at === 'failed' && server.life.remedy === 'install') {
      void install(true);
    }
  });
  void onInterpreterChange(() => void server.restart()).then((following) => {
    if (following !== undefined) {
      context.subscriptions.push(following);
    }
  });
  return {
    get status() {
      return item.shown;
    },
  };
}

/** Shows the full text that the status item shortens, with the same button. */
async function complain({ detail, button }: Shown): Promise<void> {
  if ((await vscode.window.showErrorMessage(`dgls: ${detail}`, button.title)) !== undefined) {
    await vscode.commands.executeCommand(button.command, ...(button.arguments ?? []));
  }
}

export function deactivate(): Promise<void> {
  return stop();
}
